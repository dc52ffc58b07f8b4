/* reclaim.pml: an owner is gone though its word is not marked, and two others want to mark it. README.md says what stands for
 * what; run.sh, which switches must make it fail and how.
 *
 * The first owner's thread ends unmarked (exec by a thread that does not lead its process). Its number may come back: the
 * newcomer of the same number takes the lane once it is free. */
#define FREE 0
#define DIED 9
#define NUMBER 1 /* the tid of the first owner, and of the newcomer */
#define FIRST 1
#define NEWCOMER 2

byte word = NUMBER;
byte identity = FIRST; /* as it stands in the lane's header: whose tenure */
byte alive = 0;        /* who has the number now: 0: nobody */
bool reclaim_held;
bool owns;             /* the newcomer has the lane */
bool living_owner_marked;

/* identity_gone(): by number and start time; LOOKED_AT_NUMBER: whether anyone has the number at all */
#ifdef IDENTITY_READ_BEFORE
#define GONE (alive != seen_identity)
#else
#define GONE (alive == 0)
#endif

/* reclaim(), shim/tenure.c */
active [2] proctype reclaimer()
{
    byte seen, seen_identity;
    seen = word;
    seen_identity = identity;
    if
    :: seen == FREE || seen == DIED -> goto out
    :: seen != FREE && seen != DIED && !GONE -> goto out
    :: seen != FREE && seen != DIED && GONE
    fi;
#ifndef NO_RECLAIM_WORD
    atomic { !reclaim_held -> reclaim_held = true };
#endif
    if
    :: word == seen ->
        if
        :: GONE ->
            d_step { /* CAS */
                if
                :: word == seen -> word = DIED; living_owner_marked = owns
                :: else
                fi
            };
            assert(!living_owner_marked)
        :: !(GONE)
        fi
    :: word != seen
    fi;
#ifndef NO_RECLAIM_WORD
    reclaim_held = false
#endif
out:
    skip
}

active proctype newcomer()
{
    alive = NEWCOMER; /* a thread is made, and gets the number */
    if
    :: d_step { (word == FREE || word == DIED) -> word = NUMBER; owns = true }
    :: goto out
    fi;
    identity = NEWCOMER; /* tenure_begin() */
    d_step { word = FREE; owns = false };
out:
    alive = 0
}
