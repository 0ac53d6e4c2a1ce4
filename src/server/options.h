/*
 * What the operator chose: flags over environment over the configuration file over defaults,
 * from one table (options-table.c). Everything else in server/ gets a `const struct options *`.
 *
 * Owner: main.c. Immutable after options_load(). No globals, no logging; texts of errors name
 * the flag, the variable or the file and line that is wrong.
 */
#ifndef CWS_SERVER_OPTIONS_H
#define CWS_SERVER_OPTIONS_H

#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "runtime/runtime.h"

#define OPTIONS_DEFAULT_CONFIG "/etc/cwsandbox/cwsandboxd.conf"
#define OPTIONS_MAX_FILE_BYTES (256u << 10) /* chosen: no honest configuration is longer */
#define OPTIONS_MAX_LISTENERS 16            /* chosen */
#define OPTIONS_MAX_DNS 3                   /* as in resolv.conf(5) */
#define OPTIONS_MAX_HOST_DIRECTORIES 64     /* chosen; cwsandbox-launch takes as many */
#define OPTIONS_MIN_LOG_BYTES (1u << 20)    /* chosen: what one move into a log is */

struct text_list {
    char **items;
    size_t n_items;
};

/* When an image is brought for a sandbox. */
enum image_pull { IMAGE_PULL_MISSING, IMAGE_PULL_ALWAYS, IMAGE_PULL_NEVER, IMAGE_PULL_MAX };

struct options {
    /* One field per table row, in the table's order. */
    char *config;
    struct text_list listen;
    char *front;
    char *front_domain;
    char *tls_cert;
    char *tls_key;
    char *api_keys;
    bool allow_unauthenticated;
    bool accept_wandb_keys;
    struct text_list unix_allow_uid;
    char *data_dir;
    struct text_list image_alias;
    char *image_pull_text;
    bool image_private_registries;
    bool image_commit;
    char *secret_stores;
    struct text_list host_directories;
    uint64_t warm_pool;
    uint64_t max_sandboxes;
    char *root_backing;
    bool root_on_disk; /* what it says */
    uint64_t root_size_bytes;
    char *network;
    bool network_wanted, network_private, network_auto; /* what it says */
    struct text_list dns;
    uint64_t default_memory_bytes;
    uint64_t default_cpu_millis;
    uint64_t pids_max;
    uint64_t default_lifetime_ns;
    uint64_t max_lifetime_ns;
    uint64_t retention_ns;
    uint64_t max_retained;
    uint64_t log_size_bytes;
    uint64_t log_disk_bytes;
    bool accept_unenforced_limits;
    char *launch_path;
    char *init_path;
    char *image_path; /* NULL after paths_fill(): there is none */
    char *runner_id;
    char *service_name;
    char *user;
    enum log_level log_level;
    bool embedded;
    uint64_t idle_ns;
    bool idle_given;
    uint64_t ready_fd; /* OPTIONS_NO_FD = none */
    bool check_config;
    bool help;
    bool version;

    uint64_t rows_in_file; /* bit i: row i of the table was set by the configuration file */
    uint64_t rows_env_won; /* of them, those that a variable then replaced */
    bool data_dir_chosen;  /* by paths_fill(), for this embedded service alone */

    /* Derived by options_check(). */
    enum image_pull image_pull;
    uid_t *allowed_uids;
    size_t n_allowed_uids;
    struct image_alias
        *aliases; /* parsed image_alias; the names borrow from it, patterns are copies */
    size_t n_aliases;
};
#define OPTIONS_NO_FD UINT64_MAX

/**
 * options_load() - read file, environment and flags into zeroed @o, fill defaults, check
 * @env: NULL-terminated "NAME=value" strings, as environ
 * Errors: ERR_INVALID_ARGUMENT; also for a configuration file that cannot be read.
 * With --help or --version only those two fields mean anything.
 */
int options_load(struct options *o, int argc, char *const *argv, char *const *env,
                 struct err *err);
/** options_parse_config() - apply the text of a configuration file; @path is for messages. */
int options_parse_config(struct options *o, const char *path, char *text, struct err *err);
void options_done(struct options *o);
/** options_note_overrides() - calls @note for each variable that took the place of what the configuration file says. */
void options_note_overrides(const struct options *o,
                            void (*note)(const char *option, const char *variable));
/** options_add_flags() - what makes a daemon's options_load() give it the same options, as flags; -ENOMEM. */
int options_add_flags(const struct options *o, struct text_list *list);
/** text_list_add() - a copy of @text at the end; items[n_items] is NULL. -ENOMEM. */
int text_list_add(struct text_list *l, const char *text);
void text_list_done(struct text_list *l);
/** options_help() - the text of --help, generated from the table. */
void options_help(FILE *out);

/* ---- the table, for options.c and its test ---- */

enum option_type {
    OPTION_FLAG, /* bool: no value as a flag; true/false in a file or variable */
    OPTION_TEXT,
    OPTION_LIST, /* repeatable; a higher source replaces the whole list */
    OPTION_NUMBER,
    OPTION_SIZE,     /* bytes; quantity: 512Mi, 1G */
    OPTION_CPU,      /* millicores; quantity: 500m, 1.5 */
    OPTION_DURATION, /* ns; seconds, or with a suffix s, m, h, d */
    OPTION_LEVEL,
    OPTION_TYPE_MAX,
};

struct option_def {
    const char *name; /* flag without "--", and key of the file */
    const char *env;  /* or NULL */
    enum option_type type;
    bool flag_only; /* not in the file: it would make no sense there */
    uint64_t max;   /* NUMBER, SIZE, CPU, DURATION: largest value in the unit of the field */
    const char *default_text;  /* parsed like a value; NULL = unset */
    const char *shown_default; /* when default_text says too little; may be NULL */
    const char *value_name;
    const char *help;
    size_t offset;
};
extern const struct option_def options_table[];
extern const size_t options_table_len;

/** option_parse_duration() - "90", "90s", "5m", "24h", "7d" in nanoseconds; -EINVAL, -ERANGE.
 */
int option_parse_duration(const char *text, uint64_t *ret_ns);

#endif
