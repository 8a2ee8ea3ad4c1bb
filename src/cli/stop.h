/* SPDX-License-Identifier: MIT */
/* Signals to the command, and the end of everything that it started. */
#ifndef MOTET_CLI_STOP_H
#define MOTET_CLI_STOP_H

#include "jobs.h"

/* Begins to listen: HUP, INT, QUIT and TERM ask to stop, unless they were ignored. 0, or -errno. */
int stop_listen(void);

/* The signal that asked to stop first, or 0. */
int stop_signal(void);

/* Readable once a signal came. */
int stop_fd(void);

/* Ends every job and all that came of the jobs, and reaps them: TERM to their process groups, and KILL to whatever
 * is left after STOP_GRACE_S or at another signal. Their output is read and dropped meanwhile. */
void stop_everything(jobs *all);

/* Reaps what jobs have left behind and has ended. */
void stop_reap_orphans(const jobs *all);

#endif
