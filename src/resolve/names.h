/* Which names a sandbox was granted, as the engine wrote them down (privproto/grant.h). */
#ifndef CWS_RESOLVE_NAMES_H
#define CWS_RESOLVE_NAMES_H

#include "resolve/message.h"

enum names_answer {
    NAMES_REFUSED,
    NAMES_ASKED,  /* may be asked for, and grants nothing */
    NAMES_GRANTED /* where it leads to may be reached */
};

/** names_look_up() - @question by the lines of @names, of @size bytes at most, which may change meanwhile. */
enum names_answer names_look_up(const char *names, size_t size,
                                const struct question *question);

#endif
