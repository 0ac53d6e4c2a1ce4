/*
 * The daemon's end of the words it has with its supervisor, cwsandbox-launch (privproto/handover.h): says that it serves
 * and that it stops, is given new keys and certificates. Without a supervisor it has no reason to live.
 *
 * Owner: struct service. Thread: the loop's.
 */
#ifndef CWS_SERVER_SUPERVISOR_H
#define CWS_SERVER_SUPERVISOR_H

#include <uv.h>

#include "base/err.h"

struct service;

/** supervisor_open() - listen to it, on HANDOVER_SUPER. */
int supervisor_open(struct service *s, struct err *err);
/** supervisor_say_prepared() - what is left needs the engine, which another daemon may have until it heard this. */
void supervisor_say_prepared(struct service *s);
/** supervisor_say_ready() - we serve. */
void supervisor_say_ready(struct service *s);
/** supervisor_say_stopping() - service_unlinked() follows when the socket files are gone. */
void supervisor_say_stopping(struct service *s);
/** supervisor_fetch() - start cwsandbox-image with these; both stay the caller's. 0 or -errno. */
int supervisor_fetch(int input, int output);
/** supervisor_close() - listen no more. */
void supervisor_close(struct service *s);
/** supervisor_load_secrets() - keys and certificate of the first time. */
int supervisor_load_secrets(struct service *s, struct err *err);

#endif
