/*
 * What a create that failed says about the next one: another place, the same place a little
 * later, or nothing. All of it needs a trusted reason and the status that belongs to it: the
 * words alone may come from a proxy in between.
 */
#ifndef CWS_CLIENT_PLACEMENT_H
#define CWS_CLIENT_PLACEMENT_H

#include "client/error.h"

/** placement_no_room() - this place cannot take the sandbox; another one may. */
bool placement_no_room(const struct cws_error *e);
/** placement_busy() - this place is full at the moment: the same request may succeed soon. */
bool placement_busy(const struct cws_error *e);
/** placement_is_definite() - nothing was created for certain. After anything else only the same
 * request, with the same id, is safe. */
bool placement_is_definite(const struct cws_error *e);

#endif
