/* wake.pml: sleep and wake. README.md says what stands for what; run.sh, which switches must make it fail and how.
 *
 * Writers publish into lanes of their own and ring only if the board says so; the collector announces, passes a
 * barrier, looks once more and waits; its waiting thread stands between it and the futex. No wait here has a time-out
 * except that of gathering, which is how long gathering takes: the one-second bound would hide what is sought.
 *
 * One step here is at most one access to what is shared, or one system call that the kernel makes whole. */
#define WRITERS 2
#ifndef RECORDS
#define RECORDS (2 - me) /* of each writer */
#endif

mtype = { busy, gathering, asleep };

/* ---- shared memory ---- */
byte tail[WRITERS];    /* as others see it */
byte written[WRITERS]; /* as the writer has stored it: what lies between stands in its store buffer, in order */
byte doorbell;
mtype announced = busy;
byte announced_at;
/* ---- the agent's ---- */
byte seen[WRITERS];
bit armed, answered; /* counters in the code; no two armings are open at once, so their last bit says all */
byte armed_value;
bool at_doorbell; /* the waiting thread sleeps there */
bool poked;
/* ---- what the properties need ---- */
byte returned[WRITERS]; /* records whose tally_record() has returned */
byte gone;              /* writers that have ended, one way or the other */
#ifdef LATE_BOARD
bool board_named, lane_taken, lane_known;
bool died = true; /* nobody does in this variant */
#else
bool died; /* one of them by SIGKILL */
#endif

/* SIGKILL may come before the step that follows. One of the writers dies in a run: another death adds nothing. */
#define OR_DIE :: !died -> died = true; goto dead

/* ---- a writer: lane_write(), announced(), arena_ring() ---- */

/* The board's announcement is one 64-bit word. */
#define LOAD_ANNOUNCEMENT d_step { state = announced; at = announced_at }

proctype writer(byte me)
{
    mtype state = busy;
    byte at, count;
    bool board = true;
#ifdef LATE_BOARD
    board = board_named; /* take_any(): a board is looked for, then a lane is taken ... */
    lane_taken = true;   /* ... (a locked add: tenure_begin()) ... */
#ifndef BOARD_LOOKED_FOR_ONCE
    board = board_named; /* ... and a board is looked for again if there was none */
#endif
#endif
    do
    :: count == RECORDS -> break
    :: count < RECORDS ->
#ifdef BOARD_BEFORE_TAIL
        LOAD_ANNOUNCEMENT;
#endif
        if
        :: written[me]++
        OR_DIE
        fi;
        if
#ifdef BOARD_BEFORE_TAIL
        :: true
#else
        :: LOAD_ANNOUNCEMENT
#endif
        OR_DIE
        fi;
        if
        :: board && state == asleep && doorbell == at ->
#ifdef RING_IN_TWO_STEPS
            d_step {
                tail[me] = written[me];
                if
                :: doorbell == at -> doorbell++
                :: else
                fi
            };
            if
            :: at_doorbell = false
            OR_DIE
            fi
#else
            /* FUTEX_WAKE_OP: locked, so the caller's stores come first; it adds and wakes under the kernel's one lock. */
            if
            :: d_step { tail[me] = written[me]; doorbell++; at_doorbell = false }
            OR_DIE
            fi
#endif
        :: !(board && state == asleep && doorbell == at)
        OR_DIE
        fi;
        d_step { count++; returned[me] = count; state = busy; at = 0 }
    od;
dead:
    skip;
    d_step { gone++; count = 0; state = busy; at = 0; board = false }
}

/* The store buffers drain when they like, in order, and also after their thread's death. */
active proctype store_buffers()
{
end:
    do
    :: d_step { tail[0] < written[0] -> tail[0]++ }
    :: d_step { tail[1] < written[1] -> tail[1]++ }
    od
}

/* ---- the collector: agent/collector/collector.c ---- */

/* One lane of round_run(). */
#define LOOK(lane)                                                                                           \
    d_step {                                                                                                 \
        if                                                                                                   \
        :: tail[lane] != seen[lane] -> seen[lane] = tail[lane]; moved = true                                 \
        :: else                                                                                              \
        fi                                                                                                   \
    }

#define ANNOUNCE(what) d_step { announced = what; announced_at = value }

/* doorbell_arm(), agent/collector/doorbell.c */
#define ARM                                                                                                  \
    if                                                                                                       \
    :: answered == armed -> d_step { armed_value = value; armed = 1 - armed }                                \
    :: answered != armed                                                                                     \
    fi

active proctype collector()
{
    byte value;
    bool moved;
#ifdef LATE_BOARD
    board_named = true;
#endif
    do
    :: d_step { announced = busy; announced_at = 0; moved = false; value = 0 };
        LOOK(0);
        LOOK(1);
#ifdef LATE_BOARD
        lane_known = lane_taken;
#endif
        if
        :: true -> /* rest(): gather */
            value = doorbell;
            ANNOUNCE(gathering);
            ARM;
            poked = false /* rung, or the commit interval is over */
        :: !moved -> /* rest(): a quiet second has passed; sleep_until_rung() */
#ifdef ANNOUNCED_AFTER_LOOK
            LOOK(0);
            LOOK(1);
#endif
            value = doorbell;
            ANNOUNCE(asleep);
#ifndef ARMED_AFTER_LOOK
            ARM;
#endif
#ifndef NO_MEMBARRIER
            /* membarrier(2): every CPU passes a full barrier, one after the other. */
            tail[0] = written[0];
            tail[1] = written[1];
#endif
#if !defined(NO_SECOND_LOOK) && !defined(ANNOUNCED_AFTER_LOOK)
            LOOK(0);
            LOOK(1);
#ifdef LATE_BOARD
            lane_known = lane_taken;
#endif
#endif
#ifdef ARMED_AFTER_LOOK
            value = doorbell;
            ARM;
#endif
            if
            :: moved
            :: !moved ->
                /* events_wait() */
                if
                :: poked -> poked = false
#ifdef LATE_BOARD
                /* A writer without a board does not ring. A lane known to be in use bounds the sleep. */
                :: lane_known && (tail[0] != seen[0] || tail[1] != seen[1])
#endif
                fi
            fi
        fi
    od
}

/* wait_for_rings(), agent/collector/doorbell.c */
active proctype waiting_thread()
{
    bit known;
    byte value;
    do
    :: armed != known -> /* the wait on `armed` is a plain one */
        known = armed;
        value = armed_value;
        d_step { /* the kernel compares and queues under the lock that a ring takes too */
#ifdef WAIT_WITHOUT_COMPARING
            at_doorbell = true;
#else
            at_doorbell = (doorbell == value);
#endif
            value = 0
        };
        !at_doorbell;
#ifdef POKED_BEFORE_ANSWERED
        poked = true;
        answered = known
#else
        answered = known;
        poked = true
#endif
    od
}

/* Nothing can happen any more: then no record that was returned may be unseen. (A writer killed between its store of
 * tail and the ring leaves one that was not; it is found when the death is, at the bound.) */
active proctype monitor()
{
    bool asleep_for_ever;
    timeout ->
        asleep_for_ever = returned[0] > seen[0] || returned[1] > seen[1];
        assert(!asleep_for_ever);
        assert(gone == WRITERS)
}

init {
    atomic {
        run writer(0);
        run writer(1)
    }
}
