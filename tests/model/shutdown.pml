/* shutdown.pml: a shutdown waits for durability while the agent gathers, commits, dies and comes back. README.md says what
 * stands for what; run.sh, which switches must make it fail and how.
 *
 * The records are all written: TARGET of them, in one lane. A slice of the waiter's sleep is over only when nothing else can
 * happen, so that whatever wakes it earlier has its chance, and it shows when nothing did. */
#define TARGET 2
#define BOARDS 2

mtype = { busy, gathering, asleep, moved };

/* ---- shared memory ---- */
byte tail = 0;
byte doorbell;
mtype announced[BOARDS] = busy;
byte announced_at[BOARDS];
byte durable[BOARDS]; /* the lane's position on the board */
byte commits[BOARDS]; /* the commit counter */
byte board_named;     /* which of them has the name */
/* ---- the kernel's ---- */
bool waiter_asleep;
byte sleeps_on;
bool agent_waits;
bool lock_held;
/* ---- the database ---- */
byte stored;
/* ---- what the properties need ---- */
byte agents;
bool publishing;  /* an agent is, or was at its death, between a commit and the wake that makes it known */
bool said_durable;

#define OR_DIE :: agents < 2 -> goto dead

/* FUTEX_WAKE_OP on the doorbell, if it stands where the announcement says */
#define RING                                                                                                 \
    d_step {                                                                                                 \
        if                                                                                                   \
        :: doorbell == at -> doorbell = (doorbell + 1) % 8; agent_waits = false                                    \
        :: else                                                                                              \
        fi                                                                                                   \
    }

/* tally_shutdown(): wait_targets(), shutdown_wait_commit() */
active proctype waiter()
{
    byte board, seen, at;
    mtype state = busy;
    bool durable_in_truth;

    tail == TARGET; /* taken at entry: what was recorded before */
    board = board_named;
    do
    :: durable[board] >= TARGET -> said_durable = true; break
    :: durable[board] < TARGET ->
#ifndef MOVED_IGNORED
        if
        :: announced[board] == moved -> board = board_named
        :: announced[board] != moved
        fi;
#endif
        if
        :: !lock_held ->
            /* A commit may have come between the look and the agent's end. */
#ifdef NO_AGENT_MEANS_DURABLE
            said_durable = true;
#else
            said_durable = (durable[board] >= TARGET);
#endif
            break
        :: lock_held
        fi;
#ifndef COUNTER_AFTER_POSITION
        seen = commits[board];
#endif
        if
        :: durable[board] >= TARGET -> said_durable = true; break
        :: durable[board] < TARGET
        fi;
#ifdef COUNTER_AFTER_POSITION
        seen = commits[board];
#endif
        d_step { state = announced[board]; at = announced_at[board] };
#ifndef NO_RING
        if
        :: state == gathering || state == asleep -> RING
        :: state != gathering && state != asleep
        fi;
#endif
        d_step { /* FUTEX_WAIT_BITSET compares and queues under the lock that a wake takes too */
#ifdef WAIT_WITHOUT_COMPARING
            waiter_asleep = true;
#else
            waiter_asleep = commits[board] == seen;
#endif
            sleeps_on = board;
            state = busy; at = 0; seen = 0
        };
        !waiter_asleep
    od;
    durable_in_truth = !said_durable || stored >= TARGET;
    assert(durable_in_truth)
}

/* The writer, in the thread that will shut down: it does not ring, for the ring is modelled in wake.pml. */
active proctype writer()
{
    do
    :: tail < TARGET -> tail++
    :: tail == TARGET -> break
    od
}

proctype agent()
{
    byte board, head, counted, value;

    lock_held = true;
    /* board_take(): the earlier one is used further and set busy, or told that another has its place. */
    board = board_named;
    if
    :: announced[board] = busy
    :: board_named == 0 ->
        board = 1;
        durable[1] = stored;
        announced[0] = moved;
        board_named = 1
    fi;
    if
    :: durable[board] < stored -> durable[board] = stored
    :: durable[board] >= stored
    fi;
    do
    :: announced[board] = busy;
        head = tail;
        if
        :: head > stored ->
#ifdef PUBLISHED_BEFORE_COMMIT
            durable[board] = head;
            if
            :: stored = head
            OR_DIE
            fi;
#else
            if
            :: d_step { stored = head; publishing = true }
            OR_DIE
            fi;
#ifdef COUNTER_BEFORE_POSITION
            d_step {
                commits[board]++;
                if
                :: sleeps_on == board -> waiter_asleep = false
                :: else
                fi
            };
#endif
            if
            :: durable[board] = head
            OR_DIE
            fi;
#endif
#ifndef COUNTER_BEFORE_POSITION
            if
            :: commits[board]++
            OR_DIE
            fi;
            if
            :: d_step {
                   if
                   :: sleeps_on == board -> waiter_asleep = false
                   :: else
                   fi
               }
            OR_DIE
            fi;
#endif
            publishing = false
        :: head == stored
        fi;
        value = doorbell;
        if
        :: true -> d_step { announced[board] = gathering; announced_at[board] = value }
        :: head == stored -> d_step { announced[board] = asleep; announced_at[board] = value };
            /* barrier() is modelled in wake.pml; the look */
            if
            :: tail > stored -> goto again
            :: tail == stored
            fi
        fi;
        d_step { agent_waits = (doorbell == value); value = 0; head = 0 };
        if
        :: !agent_waits
        OR_DIE
        fi;
again:
        skip
    od;
dead:
    skip;
    d_step { agent_waits = false; agents++; lock_held = false; board = 0; head = 0; value = 0 };
    if
    :: run agent()
    :: true /* nobody starts it again */
    fi
}

/* Time passes when nothing else can happen: the interval in which the agent gathers, or the waiter's slice. */
active proctype clock()
{
    bool overslept, one_slice, waits_for_nobody;
end:
    do
    :: timeout ->
        /* Durable, and it could be known: then the wake has come, but where an agent died before it, or the board has been
         * replaced; that costs one slice. */
        overslept = waiter_asleep && durable[board_named] >= TARGET &&
                    (one_slice || (!publishing && sleeps_on == board_named));
        assert(!overslept);
#ifdef NO_SLICE
        waits_for_nobody = waiter_asleep && !lock_held;
        assert(!waits_for_nobody);
#endif
        if
#ifndef NO_SLICE
        :: waiter_asleep -> one_slice = (durable[board_named] >= TARGET); waiter_asleep = false
#endif
        :: agent_waits && announced[board_named] == gathering -> agent_waits = false
        fi
    od
}

init {
    run agent()
}
