/* Telling whoever started the service how far it is. */
#ifndef CWS_LAUNCH_NOTIFY_H
#define CWS_LAUNCH_NOTIFY_H

/** notify_systemd() - sd_notify(3): one datagram to $NOTIFY_SOCKET; nothing without one. */
void notify_systemd(const char *state);
/** notify_ready() - a line to HANDOVER_READY, which is closed then; nothing if it is closed. */
void notify_ready(const char *text);

#endif
