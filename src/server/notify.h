/* Telling whoever started us: the one line on --ready-fd. */
#ifndef CWS_SERVER_NOTIFY_H
#define CWS_SERVER_NOTIFY_H

/** notify_ready_fd() - write @text and a newline to *@fd, close it, set it to -1. Nothing if it
 * is -1. */
void notify_ready_fd(int *fd, const char *text);

#endif
