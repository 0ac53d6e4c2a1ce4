/* One option of a verb, as data: how it is written, what it means, where its value goes. The tables are in options.h. */
#ifndef CWS_CLI_OPTION_H
#define CWS_CLI_OPTION_H

#include "cli/util.h"

/* The comment is the type of the slot in the args struct. */
enum option_kind {
    OPTION_FLAG,     /* bool */
    OPTION_UNFLAG,   /* bool of another flag: takes it back; the last one given wins */
    OPTION_STRING,   /* const char *, NULL when not given */
    OPTION_LIST,     /* struct words; repeatable */
    OPTION_SECONDS,  /* uint64_t, nanoseconds; > 0 */
    OPTION_SECONDS0, /* uint64_t, nanoseconds; >= 0 */
    OPTION_COUNT,    /* uint32_t */
    OPTION_CHOICE,   /* int: index in `choices` plus 1; 0 when not given */
    OPTION_TIME,     /* uint64_t, nanoseconds since 1970 UTC; 0 when not given */
};

/* Values that only the caller of the completion can list; choices are in the tables. */
enum completion {
    COMPLETE_NOTHING,
    COMPLETE_FILES,     /* local ones */
    COMPLETE_SANDBOXES, /* ids */
    COMPLETE_SNAPSHOTS, /* ids */
};

struct option {
    const char *name; /* long name, without dashes */
    char letter;      /* short name, 0 = none */
    enum option_kind kind;
    const char *metavar; /* NULL for flags and choices */
    const char *const
        *choices; /* OPTION_CHOICE: NULL-terminated, lower case; matched in any case */
    const char *default_text; /* parsed as if given first; NULL = the slot stays zero */
    size_t slot;              /* offsetof the value in the args struct */
    const char *help;         /* one sentence */
    enum completion completion;
};

#endif
