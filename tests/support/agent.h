/* agent.h: a tallyd of the test's own, in its room. Used by the test's main thread. */
#ifndef TESTS_SUPPORT_AGENT_H
#define TESTS_SUPPORT_AGENT_H

#include "room.h"

/* Start it and wait until it says that it is ready. */
void agent_start(struct room *room);
/* SIGTERM, and wait: it has to drain, commit and leave with status 0. */
void agent_stop(struct room *room);
/* SIGKILL, and wait. */
void agent_kill(struct room *room);
/* SIGSTOP, and wait until it has stopped; SIGCONT. */
void agent_pause(struct room *room);
void agent_resume(struct room *room);
bool agent_running(const struct room *room);
/* Whether a line of what its agents have said holds these words. */
bool agent_said(const struct room *room, const char *words);
/* From now on the agent is one built with ASan and UBSan, as fuzz targets are. Returns whether there is one. */
bool agent_sanitized(struct room *room);

/* In order not to run one: `tally recover` drains and settles everything. No agent may be running. */
void agent_recover(struct room *room);

#endif
