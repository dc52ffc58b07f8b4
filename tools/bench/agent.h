/* agent.h: agents, watched from outside. */
#ifndef TALLY_BENCH_AGENT_H
#define TALLY_BENCH_AGENT_H

#include <stdint.h>

/* The benchmark's own; gives up if there is none. */
const char *agent_pid(void);
/* Processor time of all its threads, in ns. */
int64_t agent_cpu_ns(const char *pid);
/* KiB, of a line of /proc/PID/status. */
double agent_memory(const char *pid, const char *what);
/* Until it sleeps and has done nothing for a millisecond; a second at most, as others may keep it busy. What an agent does
 * after it was waited for would else be in the next contender's turn, on the other half of its core. */
void agent_await_quiet(const char *pid);
/* The same for that one which peers/stand started for a contender; none: at once. */
void agent_await_quiet_of(const char *folder, const char *kind);
/* Its pid, "" if there is none. */
void agent_pid_of(const char *folder, const char *kind, char pid[16]);

#endif
