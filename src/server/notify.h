/*
 * Telling whoever started us: sd_notify datagrams (sd_notify(3), by hand: one sendto needs no
 * library) and the one line on --ready-fd.
 */
#ifndef CWS_SERVER_NOTIFY_H
#define CWS_SERVER_NOTIFY_H

/** notify_systemd() - send @state ("READY=1") to $NOTIFY_SOCKET; nothing without it. Failures
 * are not ours to report. */
void notify_systemd(const char *state);
/** notify_ready_fd() - write @text and a newline to *@fd, close it, set it to -1. Nothing if it
 * is -1. */
void notify_ready_fd(int *fd, const char *text);

#endif
