/*
 * Where the embedded service of this user lives. The service and the client must compute the
 * same path, so both ask here.
 */
#ifndef CWS_BASE_RUNDIR_H
#define CWS_BASE_RUNDIR_H

#include "base/macros.h"

#define RUNDIR_SOCKET "service.sock" /* names inside the directory */
#define RUNDIR_LOCK "lock"
#define RUNDIR_LOG "cwsandboxd.log"

/**
 * rundir_path() - $XDG_RUNTIME_DIR/cwsandbox when XDG_RUNTIME_DIR is an absolute path of a
 * directory that belongs to this user (under sudo it is often somebody else's), else
 * /tmp/cwsandbox-<uid>, or $HOME/.cwsandbox when somebody else has put something there. Nothing is created. Return: heap string, NULL when out of memory.
 */
char *rundir_path(void);

#endif
