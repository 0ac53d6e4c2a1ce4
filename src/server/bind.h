/*
 * Making the listening sockets, with the privilege of who starts the service: low ports and directories of root's too.
 * The daemon gets them as descriptors (listener.c).
 */
#ifndef CWS_SERVER_BIND_H
#define CWS_SERVER_BIND_H

#include "server/options.h"

struct bound {
    int fd;
    char *path; /* socket file; NULL for TCP */
    bool kept;  /* of bind_again(): the file is not ours to remove */
};

/** bind_listen() - a listening socket for @url. Errors: FAILED_PRECONDITION naming the address that cannot be bound. */
int bind_listen(const struct options *o, const char *url, struct bound *ret, struct err *err);
/**
 * bind_again() - the same for a service that runs: of the sockets at HANDOVER_LISTEN and above the one that listens there is
 * taken (its number is closed), else one is made
 */
int bind_again(const struct options *o, const char *url, struct bound *ret, struct err *err);
/** bound_discard() - close it and remove its file. */
void bound_discard(struct bound *b);
/** bind_check() - may the service listen where @o says, with @n_keys API keys? Binds nothing. */
int bind_check(const struct options *o, size_t n_keys, struct err *err);

#endif
