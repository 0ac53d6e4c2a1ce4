/* See placement.h. Source of the table: the published client. */
#include "client/placement.h"

#include "base/util.h"

#define STATUS(code) (1u << (code))
#define FULL (STATUS(ERR_RESOURCE_EXHAUSTED) | STATUS(ERR_UNAVAILABLE))
#define REFUSED (FULL | STATUS(ERR_FAILED_PRECONDITION))

struct placement_row {
    const char *reason;
    unsigned elsewhere; /* the statuses with which another place is tried */
    unsigned later;     /* those with which this one is tried again; 0 = never */
};

static const struct placement_row rows[] = {
    {"RUNNER_CAPACITY_EXHAUSTED", REFUSED, FULL},
    {"RUNNER_OVERLOADED", REFUSED, FULL},
    {"PLACEMENT_REJECTED", REFUSED, 0},
    {"PLACEMENT_CONSTRAINT_UNSATISFIED", REFUSED, 0},
    {"NO_SUITABLE_RUNNER", REFUSED, 0},
    {"RUNNER_UNAVAILABLE", REFUSED, 0},
    {"RESOURCE_CEILING_EXCEEDED", STATUS(ERR_INVALID_ARGUMENT), 0},
};

#define DEFINITE \
    (STATUS(ERR_INVALID_ARGUMENT) | STATUS(ERR_FAILED_PRECONDITION) | \
     STATUS(ERR_UNAUTHENTICATED) | STATUS(ERR_PERMISSION_DENIED) | STATUS(ERR_NOT_FOUND))

static bool status_in(const struct cws_error *e, unsigned set)
{
    return e->status >= 0 && e->status < ERR_CODE_MAX && (set & STATUS(e->status));
}

static const struct placement_row *find_row(const struct cws_error *e)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (error_reason_is(e, rows[i].reason))
            return &rows[i];
    return NULL;
}

bool placement_no_room(const struct cws_error *e)
{
    const struct placement_row *row = find_row(e);
    return row && status_in(e, row->elsewhere);
}

bool placement_busy(const struct cws_error *e)
{
    const struct placement_row *row = find_row(e);
    return row && status_in(e, row->later);
}

bool placement_is_definite(const struct cws_error *e)
{
    return status_in(e, DEFINITE) || placement_no_room(e);
}
