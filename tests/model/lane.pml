/* lane.pml: a lane passes from owner to owner while the agent drains it. README.md says what stands for what; run.sh, which
 * switches must make it fail and how.
 *
 * Threads take the lane, introduce themselves, record, and leave, or are killed at any step, whereupon the kernel marks the
 * owner word. All records are one unit long, so that a tail and the number that belongs to it are equal; slots still keep
 * both. The agent may crash at any step; what the database holds is what it would hold afterwards. */
#ifndef OWNERS
#define OWNERS 3
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
/* Records of a tenure: its CLIENT record, and one more in the second. Room in the ring. In the log. */
#define RECORDS (1 + (me == 1))
#define RING 2
#define LOG (OWNERS + 1)
#define FREE 0
#define DIED 9
#define CLIENT 1

/* ---- the lane ---- */
byte word; /* the owner word: FREE, a tid, or DIED */
byte tail;
byte slot_tail[2], slot_number[2];
byte ring_number[RING], ring_record[RING]; /* record: 2 * owner + 1 for its CLIENT record, + 2 for the other */
/* ---- the board ---- */
byte durable;
/* ---- the database ---- */
byte position, number;
byte open_tenure; /* 0: none; else owner + 1 */
/* ---- what the properties need ---- */
byte log[LOG + 1];     /* by position: what was published there */
byte rows[LOG + 1];    /* by position: how often it was counted */
byte inside;           /* threads that own the lane */
bool over[OWNERS];     /* tenures that have ended */
byte deaths, done, crashes;
bool two_owners, no_slot_fits, number_broken, other_record, counted_twice, undrained, ended_too_soon, pair_wrong;

#ifdef SAME_TID
/* Of two pid namespaces: the first two threads have one number. */
#define TID(owner) ((owner) < 2 -> 1 : (owner))
#else
#define TID(owner) ((owner) + 1)
#endif
#define OWNED (word != FREE && word != DIED)

#define OR_DIE :: deaths < DEATHS -> deaths++; goto dead

/* lane_write(): the slot, of which one is always valid ... */
#ifdef ONE_SLOT
#define SLOT 0
#else
#define SLOT ((last + 1) & 1)
#endif

proctype owner(byte me)
{
    byte seen, at, last, count;
    bool pending, owns;

    me <= done + 1; /* two at a time are enough to contend */
    /* robust_take(): a plain look, list_op_pending, CAS */
#ifndef NO_PLAIN_LOOK
    seen = word;
    if
    :: seen == FREE || seen == DIED
    :: seen != FREE && seen != DIED -> goto left
    fi;
#endif
#ifndef PENDING_AFTER_CAS
    pending = true;
#endif
    if
#ifdef TAKEN_WITHOUT_CAS
    :: word = TID(me); d_step { owns = true; inside++; two_owners = inside > 1 }
#else
    :: d_step {
           if
           :: word == seen && (seen == FREE || seen == DIED) ->
               word = TID(me);
               owns = true;
               inside++;
               two_owners = inside > 1
           :: else
           fi
       }
#endif
    OR_DIE
    fi;
    assert(!two_owners);
    if
    :: pending = owns /* cleared, or the list has the word now */
    OR_DIE
    fi;
    if
    :: owns
    :: !owns -> goto left
    fi;
    /* adopt() */
    at = tail;
    d_step {
        if
        :: slot_tail[0] == at -> last = slot_number[0]
#ifdef ONE_SLOT
        :: slot_tail[0] != at -> no_slot_fits = true
#else
        :: slot_tail[0] != at && slot_tail[1] == at -> last = slot_number[1]
        :: slot_tail[0] != at && slot_tail[1] != at -> no_slot_fits = true
#endif
        fi
    };
    assert(!no_slot_fits);
    do
    :: count == RECORDS -> break
    :: count < RECORDS ->
        if
        :: at + 1 - durable > RING -> break /* full: refused */
        :: at + 1 - durable <= RING
        fi;
#ifdef TAIL_BEFORE_SLOT
        d_step { ring_number[at % RING] = last + 1; ring_record[at % RING] = 2 * me + 1 + count };
        d_step { log[at] = 2 * me + 1 + count; tail = at + 1 };
#endif
#ifdef TAIL_BEFORE_RECORD
        d_step { slot_tail[SLOT] = at + 1; slot_number[SLOT] = last + 1 };
        d_step { log[at] = 2 * me + 1 + count; tail = at + 1 };
#endif
#ifndef TAIL_BEFORE_SLOT
        if
        :: d_step { ring_number[at % RING] = last + 1; ring_record[at % RING] = 2 * me + 1 + count }
        OR_DIE
        fi;
#endif
#ifndef TAIL_BEFORE_RECORD
        if
#ifdef SLOT_NUMBER_FIRST
        :: slot_number[SLOT] = last + 1
#else
        :: slot_tail[SLOT] = at + 1
#endif
        OR_DIE
        fi;
        if
#ifdef SLOT_NUMBER_FIRST
        :: slot_tail[SLOT] = at + 1
#else
        :: slot_number[SLOT] = last + 1
#endif
        OR_DIE
        fi;
#endif
#if defined(LEFT_BEFORE_TAIL)
        /* As a relaxed leave would allow on a weaker machine. */
        if
        :: count == RECORDS - 1 -> d_step { word = FREE; owns = false; pending = false; over[me] = true; inside-- }
        :: count < RECORDS - 1
        fi;
#endif
#if !defined(TAIL_BEFORE_SLOT) && !defined(TAIL_BEFORE_RECORD)
        if
        :: d_step { log[at] = 2 * me + 1 + count; tail = at + 1 }
        OR_DIE
        fi;
#endif
        d_step { at++; last++; count++ }
    od;
    /* robust_leave() */
    if
    :: d_step {
           if
           :: owns && word == TID(me) -> word = FREE
           :: else
           fi;
           inside = inside - owns;
           owns = false;
           pending = false;
           over[me] = true
       }
    OR_DIE
    fi;
    goto left;
dead:
    skip;
    /* exit_robust_list(): by the list or by what is pending, whoever's the word is, if the number is ours */
    d_step {
        if
        :: pending && word == TID(me) -> word = DIED
        :: else
        fi;
        over[me] = true;
        inside = inside - owns
    };
left:
    skip;
    d_step { done++; over[me] = true; seen = 0; at = 0; last = 0; count = 0; pending = false; owns = false }
}

/* ---- the agent ---- */
#define OR_CRASH :: crashes < CRASHES -> crashes++; goto start

#ifdef PAIR
/* One pread(2) of the header's words: they are of different ages. `order`: upwards or downwards. */
#define PASS                                                                                                 \
    if                                                                                                       \
    :: true -> head = tail; st0 = slot_tail[0]; sn0 = slot_number[0]; st1 = slot_tail[1]; sn1 = slot_number[1] \
    :: true -> sn1 = slot_number[1]; st1 = slot_tail[1]; sn0 = slot_number[0]; st0 = slot_tail[0]; head = tail \
    fi
/* take_lines(): the number that belongs to the tail; if both slots do, the greater. */
#define UNFIT 255
#define NUMBER(out)                                                                                          \
    d_step {                                                                                                 \
        if                                                                                                   \
        :: st0 == head && st1 == head -> out = (sn1 > sn0 -> sn1 : sn0)                                      \
        :: st0 == head && st1 != head -> out = sn0                                                           \
        :: st0 != head && st1 == head -> out = sn1                                                           \
        :: st0 != head && st1 != head -> out = UNFIT                                                         \
        fi                                                                                                   \
    }
#endif

active proctype agent()
{
    byte owner_seen, head, at, last, open, before, at_owner_seen, open_before;
    bool settled;
#ifdef PAIR
    byte st0, sn0, st1, sn1, first, second, first_head;
#endif
start:
    skip;
    d_step { at = position; last = number; open = open_tenure; open_before = 0; owner_seen = 0; head = 0; at_owner_seen = 0; settled = false };
    do
    :: done < OWNERS || tail != durable || open ->
        /* lane_read_head(): the owner word, then the header */
#ifdef HEADER_BEFORE_OWNER
        head = tail;
#endif
        d_step { owner_seen = word; at_owner_seen = tail };
#ifdef PAIR
        PASS;
        NUMBER(first);
#ifndef READ_ONCE
        do
        :: first_head = head;
            PASS;
            NUMBER(second);
            if
            :: first_head == head && first == second && first != UNFIT -> break
            :: else -> first = second
            fi
        od;
#endif
        skip;
        d_step {
            pair_wrong = first != UNFIT && first != head;
            st0 = 0; sn0 = 0; st1 = 0; sn1 = 0; first = 0; second = 0; first_head = 0
        };
        assert(!pair_wrong);
#else
#ifndef HEADER_BEFORE_OWNER
        head = tail;
#endif
#endif
        /* take_records(): all that lies below the tail; nobody writes there until the board says so */
        d_step {
            do
            :: at < head ->
                number_broken = number_broken || ring_number[at % RING] != last + 1;
                other_record = other_record || ring_record[at % RING] != log[at];
                if
                :: ring_record[at % RING] % 2 == 1 -> open = ring_record[at % RING] / 2 + 1
                :: else
                fi;
                at++;
                last++
            :: else -> break
            od
        };
        assert(!number_broken);
        assert(!other_record);
        /* observe(): what was published before the owner word that was read as ended is in */
        d_step {
            undrained = (owner_seen == FREE || owner_seen == DIED) && at < at_owner_seen;
            at_owner_seen = 0
        };
        assert(!undrained);
        d_step {
            settled = open == open_before; /* the tenure was known at the observation before */
#ifdef ENDED_AT_FIRST_LOOK
            settled = true;
#endif
            open_before = open;
            if
            :: open && settled && (owner_seen == FREE || owner_seen == DIED) ->
                ended_too_soon = !over[open - 1];
                open = 0;
                open_before = 0
            :: else
            fi;
            settled = false;
            owner_seen = 0;
            head = 0
        };
        assert(!ended_too_soon);
#ifdef PUBLISHED_BEFORE_COMMIT
        durable = at;
#endif
#ifdef ROWS_WITHOUT_POSITION
        d_step {
            head = position;
            do
            :: head < at -> rows[head]++; counted_twice = counted_twice || rows[head] > 1; head++
            :: else -> break
            od;
            head = 0
        };
        assert(!counted_twice);
        if
        :: d_step { position = at; number = last; open_tenure = open }
        OR_CRASH
        fi;
#else
        if
        :: d_step { /* round_commit(): one transaction */
               head = position;
               do
               :: head < at -> rows[head]++; counted_twice = counted_twice || rows[head] > 1; head++
               :: else -> break
               od;
               head = 0;
               position = at;
               number = last;
               open_tenure = open
           };
           assert(!counted_twice)
        OR_CRASH
        fi;
#endif
        if
        :: durable = at /* publish() */
        OR_CRASH
        fi
    od
}

active proctype monitor()
{
    bool left_behind, marked;
    timeout ->
        left_behind = position != tail || number != tail || (tail > 0 && rows[tail - 1] != 1);
        marked = word == FREE || word == DIED;
        assert(done == OWNERS);
        assert(!left_behind);
        assert(marked)
}

init {
    atomic {
        byte i;
        for (i : 0 .. OWNERS - 1) {
            run owner(i)
        }
    }
}
