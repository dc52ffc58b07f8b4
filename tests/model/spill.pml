/* spill.pml: a spill log from its writer to the database. README.md says what stands for what; run.sh, which switches
 * must make it fail and how.
 *
 * One thread's log, in files that the agent takes one after the other. The
 * writer may be killed and the agent may crash, at any step. What the database holds is what it would hold after a crash. */
#define RECORDS 2
#define FILES 4
#define ENTRIES 5
#define NOTHING 0
#define NAMED 1 /* tally-<log>-<index>.spill */
#define TAKEN 2 /* ... .taken */
#define GONE 3
#define TORN 99 /* a record that is not all there */
#define CLIENT 0 /* introduces the object that the records are of; else an entry is a record, from 1 */

/* ---- files ---- */
byte name[FILES];
byte log_of[FILES];
byte length[FILES];
byte number[FILES * ENTRIES];
byte content[FILES * ENTRIES];
#define AT(file, entry) ((file) * ENTRIES + (entry))
/* ---- the database ---- */
byte known[FILES];       /* by log: the number up to which it has all */
byte rows[RECORDS + 1];  /* by record: how often it was counted */
/* ---- what the properties need ---- */
bool returned[RECORDS + 1];
bool finished;
bool counted_twice, number_missing;
byte crashes, takes;

/* No `else` beside it: it can always be taken. */
#define OR_DIE :: goto dead

/* append(): one write; a reader may see a part of it, and so may everyone if it is cut short. */
#define BEGIN_WRITE(n, what)                                                                                 \
    d_step {                                                                                                 \
        number[AT(file, length[file])] = n;                                                                  \
        content[AT(file, length[file])] = TORN;                                                              \
        length[file]++                                                                                       \
    }
#define END_WRITE(what) content[AT(file, length[file] - 1)] = what

active proctype writer()
{
    byte file = FILES, next_file, log, last, put, record = 1;
    bool introduced, cut, again;
    do
    :: record > RECORDS -> break
    :: else ->
        /* write_once(): open_file() */
        if
        :: file < FILES && name[file] == NAMED
        :: file < FILES && name[file] != NAMED -> file = FILES; introduced = false /* leave_file() */
        :: file == FILES
        OR_DIE
        fi;
        if
        :: file == FILES ->
            d_step { file = next_file; next_file++; name[file] = NAMED; log_of[file] = log }
        :: file < FILES
        OR_DIE
        fi;
        /* begin_file() repeats number 1, the process's CLIENT record, which is no one's usage: it is left out here. The record
         * is of another client object, which is introduced once a file. */
        put = last + 1;
        if
        :: introduced
        :: !introduced ->
#ifdef INTRODUCTION_NUMBERED
            BEGIN_WRITE(put, CLIENT);
            put++;
#else
            BEGIN_WRITE(0, CLIENT);
#endif
            END_WRITE(CLIENT);
            introduced = true
        OR_DIE
        fi;
#ifdef NAMES_BEFORE_WRITE
        again = (name[file] != NAMED);
#endif
        if
        :: BEGIN_WRITE(put, record)
        OR_DIE
        fi;
        if
        :: END_WRITE(record)
        :: !cut -> /* no room, or a limit: the record may be torn */
            cut = true;
#ifdef NEW_LOG_AFTER_TORN
            d_step { log++; last = 0 };
#endif
#ifndef TORN_GOES_ON
            d_step { file = FILES; introduced = false };
#endif
            goto once_more
        OR_DIE
        fi;
#ifdef NO_SECOND_STAT
        again = false;
#else
#ifndef NAMES_BEFORE_WRITE
        again = (name[file] != NAMED); /* still_named(): stat(path) against fstat(fd) */
#endif
#endif
        if
        :: again -> /* the agent has it: whether it has the record nobody knows */
#ifdef REPEATED_UNDER_NEW_NUMBER
            last = put;
#endif
            d_step { file = FILES; introduced = false; again = false }
        :: !again -> d_step { last = put; returned[record] = true; record++ }
        OR_DIE
        fi;
once_more:
        skip
    od;
dead:
    skip;
    d_step { finished = true; file = 0; next_file = 0; log = 0; last = 0; put = 0; record = 0; introduced = false; cut = false; again = false }
}

/* A crash: what is in memory is gone, and the next agent begins at the top. */
#define OR_CRASH :: crashes < 2 -> crashes++; goto start

/* A writer can be made to begin a new file again and again; twice shows what there is to see. */
#define MAY_TAKE (takes < 2 || finished)

active proctype agent()
{
    byte file, entry, got, counted;
start:
    skip;
    d_step { file = FILES; entry = 0; got = 0; counted = 0 };
    do
    :: skip; /* first what is renamed already, and in the order of the files' indices */
        d_step {
            file = 0;
            do
            :: file < FILES && name[file] != TAKEN -> file++
            :: else -> break
            od
        };
        if
        :: file < FILES
        :: file == FILES ->
end:
            (name[0] == NAMED || name[1] == NAMED || name[2] == NAMED || name[3] == NAMED) && MAY_TAKE;
            d_step {
#ifdef NEWEST_FIRST
                file = FILES - 1;
                do
                :: name[file] != NAMED -> file--
                :: else -> break
                od
#else
                file = 0;
                do
                :: name[file] != NAMED -> file++
                :: else -> break
                od
#endif
            };
            takes++;
#ifndef READ_THEN_UNLINK
            if
            :: name[file] = TAKEN
            OR_CRASH
            fi
#endif
        fi;
        got = known[log_of[file]];
        entry = 0;
        do
        :: entry < length[file] && content[AT(file, entry)] != TORN ->
            d_step {
                if
                :: number[AT(file, entry)] > got ->
                    number_missing = number_missing || number[AT(file, entry)] > got + 1;
                    got = number[AT(file, entry)];
                    counted = counted | (1 << content[AT(file, entry)])
                :: else /* had already */
                fi;
                entry++
            };
            assert(!number_missing)
        :: entry == length[file] || content[AT(file, entry)] == TORN -> break
        OR_CRASH
        od;
#ifdef UNLINK_BEFORE_COMMIT
        name[file] = GONE;
#endif
        if
        :: d_step { /* the transaction: rows, and the number up to which the log is known */
               rows[1] = rows[1] + ((counted >> 1) & 1);
               rows[2] = rows[2] + ((counted >> 2) & 1);
               counted_twice = rows[1] > 1 || rows[2] > 1;
#ifndef NUMBERS_FORGOTTEN
               known[log_of[file]] = got;
#endif
               counted = 0
           };
           assert(!counted_twice)
        OR_CRASH
        fi;
        if
        :: name[file] = GONE
        OR_CRASH
        fi;
        d_step { file = FILES; entry = 0; got = 0 }
    od
}

/* Nothing can happen any more. */
active proctype monitor()
{
    bool returned_and_lost;
    timeout ->
        returned_and_lost = (returned[1] && !rows[1]) || (returned[2] && !rows[2]);
        assert(!returned_and_lost);
        assert(finished)
}
