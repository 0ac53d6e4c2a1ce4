/*
 * Options from file, environment and flags, by the table in options-table.c. See options.h.
 *
 * The sources are applied in rising order of precedence, each overwriting what it names; a list
 * is emptied by the first item of a higher source.
 */
#include "server/options.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "privproto/machine-path.h"
#include "server/quantity.h"

#define NOT_GIVEN UINT64_MAX /* no size may be so large */
#define ROOT_MEMORY_BYTES (UINT64_C(1) << 30)
#define ROOT_DISK_BYTES (UINT64_C(10) << 30)

/* Where a value comes from, for messages and for replacing lists. */
struct source {
    const char *text; /* "--listen", "CWSANDBOX_LOG", "/etc/x.conf:3: listen" */
    bool *replaced;   /* per table row: the list was already emptied for this source; NULL =
                         defaults */
};

int option_parse_duration(const char *text, uint64_t *ret_ns)
{
    static const struct {
        char suffix;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    CLEANUP_FREE char *digits = strdup(text);
    if (digits == NULL)
        return -ENOMEM;
    uint64_t unit = 1, value;
    size_t n = strlen(digits);
    for (size_t i = 0; n > 1 && i < ARRAY_SIZE(units); i++) {
        if (digits[n - 1] == units[i].suffix) {
            unit = units[i].seconds;
            digits[n - 1] = '\0';
            break;
        }
    }
    int r = parse_u64(digits, UINT64_MAX / NS_PER_SEC / unit, &value);
    if (r < 0)
        return r;
    *ret_ns = value * unit * NS_PER_SEC;
    return 0;
}

static int parse_bool(const char *value, bool *ret)
{
    bool yes =
        strcmp(value, "true") == 0 || strcmp(value, "yes") == 0 || strcmp(value, "1") == 0;
    bool no =
        strcmp(value, "false") == 0 || strcmp(value, "no") == 0 || strcmp(value, "0") == 0;
    if (!yes && !no)
        return -EINVAL;
    *ret = yes;
    return 0;
}

static int parse_unsigned(const struct option_def *def, const char *value, uint64_t *ret)
{
    uint64_t number = 0;
    int r = def->type == OPTION_NUMBER ? parse_u64(value, UINT64_MAX, &number)
            : def->type == OPTION_SIZE ? quantity_parse(value, 1, &number)
            : def->type == OPTION_CPU  ? quantity_parse(value, 1000, &number)
                                       : option_parse_duration(value, &number);
    if (r == 0 && number > def->max)
        r = -ERANGE;
    if (r == 0)
        *ret = number;
    return r;
}

static int set_text(char **field, const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return -ENOMEM;
    free(*field);
    *field = copy;
    return 0;
}

static int option_set(struct options *o, const struct option_def *def, const char *value,
                      const struct source *source, struct err *err)
{
    void *field = (char *)o + def->offset;
    int r = 0;
    switch (def->type) {
    case OPTION_FLAG:
        r = parse_bool(value, field);
        break;
    case OPTION_TEXT:
        r = value[0] == '\0' ? -EINVAL : set_text(field, value);
        break;
    case OPTION_LIST: {
        bool *replaced =
            source->replaced != NULL ? &source->replaced[def - options_table] : NULL;
        if (replaced != NULL && !*replaced)
            text_list_done(field);
        if (replaced != NULL)
            *replaced = true;
        r = value[0] == '\0' ? -EINVAL : text_list_add(field, value);
        break;
    }
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_CPU:
    case OPTION_DURATION:
        r = parse_unsigned(def, value, field);
        break;
    case OPTION_LEVEL:
        r = log_parse_level(value, field);
        break;
    case OPTION_TYPE_MAX:
        r = -EINVAL;
        break;
    }
    if (r == -ENOMEM)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (r == -ERANGE)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: `%s` is too large", source->text, value);
    if (r < 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: bad value `%s` (%s)", source->text,
                       value, def->help);
    if (field == &o->idle_ns)
        o->idle_given = true;
    return 0;
}

static const struct option_def *option_find(const char *name, size_t n)
{
    for (size_t i = 0; i < options_table_len; i++)
        if (strlen(options_table[i].name) == n && memcmp(options_table[i].name, name, n) == 0)
            return &options_table[i];
    return NULL;
}

static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

static int apply_line(struct options *o, const char *path, unsigned line_no, char *line,
                      bool *replaced, struct err *err)
{
    line = trim(line);
    if (line[0] == '\0' || line[0] == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: no `=` in `%s`", path, line_no, line);
    *equals = '\0';
    char *key = trim(line);
    char *value = trim(equals + 1);
    const struct option_def *def = option_find(key, strlen(key));
    if (def == NULL || def->flag_only)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: %s `%s`", path, line_no,
                       def == NULL ? "unknown key" : "only a flag, not a key:", key);
    CLEANUP_FREE char *where = str_dup_printf("%s:%u: %s", path, line_no, key);
    o->rows_in_file |= 1ull << (def - options_table);
    return option_set(o, def, value, &(struct source){where != NULL ? where : key, replaced},
                      err);
}

int options_parse_config(struct options *o, const char *path, char *text, struct err *err)
{
    CLEANUP_FREE bool *replaced = calloc(options_table_len, sizeof(*replaced));
    if (replaced == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    unsigned line_no = 0;
    char *line;
    while ((line = strsep(&text, "\n")) != NULL)
        if (apply_line(o, path, ++line_no, line, replaced, err) < 0)
            return -1;
    return 0;
}

static int apply_config(struct options *o, struct err *err)
{
    const char *path = o->config != NULL ? o->config : OPTIONS_DEFAULT_CONFIG;
    CLEANUP_FREE char *text = NULL;
    size_t len;
    int r = file_read(path, OPTIONS_MAX_FILE_BYTES, &text, &len);
    if (r == -ENOENT && o->config == NULL)
        return 0;
    if (r < 0)
        return err_set_errno(err, ERR_INVALID_ARGUMENT, -r, "read `%s`", path);
    if (strlen(text) != len)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: a NUL byte in the file", path);
    return options_parse_config(o, path, text, err);
}

static int apply_env(struct options *o, char *const *env, struct err *err)
{
    CLEANUP_FREE bool *replaced = calloc(options_table_len, sizeof(*replaced));
    if (replaced == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < options_table_len; i++) {
        const struct option_def *def = &options_table[i];
        for (size_t k = 0; def->env != NULL && env[k] != NULL; k++) {
            const char *value = str_startswith(env[k], def->env);
            if (value == NULL || value[0] != '=' || value[1] == '\0')
                continue; /* an empty variable is an unset one, as shells make them */
            if (option_set(o, def, value + 1, &(struct source){def->env, replaced}, err) < 0)
                return -1;
            o->rows_env_won |= o->rows_in_file & 1ull << i;
        }
    }
    return 0;
}

/* One pass over the flags. With @only just that option is looked for and mistakes are left to
 * the full pass: the configuration file and the descriptor for errors must be known before
 * anything can be judged. */
static int apply_flags(struct options *o, int argc, char *const *argv, const char *only,
                       struct err *err)
{
    CLEANUP_FREE bool *replaced = calloc(options_table_len, sizeof(*replaced));
    if (replaced == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (int i = 1; i < argc; i++) {
        const char *name = str_startswith(argv[i], "--");
        if (name == NULL || name[0] == '\0') {
            if (only != NULL)
                continue;
            return err_set(err, ERR_INVALID_ARGUMENT, "unexpected argument `%s`", argv[i]);
        }
        size_t n = strcspn(name, "=");
        const struct option_def *def = option_find(name, n);
        if (def == NULL && only != NULL)
            continue;
        if (def == NULL)
            return err_set(err, ERR_INVALID_ARGUMENT, "unknown flag `%.*s`", (int)n + 2,
                           argv[i]);
        const char *value = name[n] == '=' ? name + n + 1 : NULL;
        if (value == NULL && def->type == OPTION_FLAG)
            value = "true";
        else if (value == NULL && ++i < argc)
            value = argv[i];
        if (only != NULL && (value == NULL || strcmp(def->name, only) != 0))
            continue;
        if (value == NULL)
            return err_set(err, ERR_INVALID_ARGUMENT, "--%s needs a value", def->name);
        CLEANUP_FREE char *where = str_dup_printf("--%s", def->name);
        struct source source = {where != NULL ? where : def->name, replaced};
        if (option_set(o, def, value, &source, err) < 0)
            return -1;
    }
    return 0;
}

static int apply_defaults(struct options *o, struct err *err)
{
    o->ready_fd = OPTIONS_NO_FD;
    for (size_t i = 0; i < options_table_len; i++) {
        const struct option_def *def = &options_table[i];
        struct source source = {def->name, NULL};
        if (def->default_text != NULL &&
            option_set(o, def, def->default_text, &source, err) < 0)
            return -1;
    }
    return 0;
}

static int derive_aliases(struct options *o, struct err *err)
{
    o->aliases = calloc(o->image_alias.n_items + 1, sizeof(*o->aliases));
    if (o->aliases == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < o->image_alias.n_items; i++) {
        char *text = o->image_alias.items[i];
        char *equals = strchr(text, '=');
        if (equals == NULL || equals == text || equals[1] == '\0')
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "--image-alias: `%s` is not PATTERN=IMAGE", text);
        char *pattern = strndup(text, (size_t)(equals - text));
        if (pattern == NULL)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        o->aliases[o->n_aliases++] =
            (struct image_alias){.pattern = pattern, .image = equals + 1};
    }
    return 0;
}

static int derive_uids(struct options *o, struct err *err)
{
    o->allowed_uids = calloc(o->unix_allow_uid.n_items + 1, sizeof(*o->allowed_uids));
    if (o->allowed_uids == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < o->unix_allow_uid.n_items; i++) {
        uint64_t uid;
        if (parse_u64(o->unix_allow_uid.items[i], UINT32_MAX - 1, &uid) < 0)
            return err_set(err, ERR_INVALID_ARGUMENT, "--unix-allow-uid: `%s` is not a uid",
                           o->unix_allow_uid.items[i]);
        o->allowed_uids[o->n_allowed_uids++] = (uid_t)uid;
    }
    return 0;
}

static int derive_image_pull(struct options *o, struct err *err)
{
    static const char *const words[IMAGE_PULL_MAX] = {"missing", "always", "never"};
    for (size_t i = 0; i < IMAGE_PULL_MAX; i++) {
        if (strcmp(o->image_pull_text, words[i]) == 0) {
            o->image_pull = (enum image_pull)i;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "--image-pull: `%s` is none of missing, always, never", o->image_pull_text);
}

/* NAME or NAME:PORT, as it is put into URLs. */
static bool is_domain(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.");
    uint64_t port;
    if (n == 0 || n > 253 || text[0] == '.' || text[n - 1] == '.')
        return false;
    return text[n] == '\0' ||
           (text[n] == ':' && parse_u64(text + n + 1, UINT16_MAX, &port) == 0 && port > 0);
}

static int check_front(const struct options *o, struct err *err)
{
    if (o->embedded && o->front != NULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "--front cannot be used with --embedded");
    if (o->front_domain == NULL)
        return 0;
    if (o->front == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "--front-domain needs --front");
    if (!is_domain(o->front_domain))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--front-domain: `%s` is not NAME or NAME:PORT in lower case",
                       o->front_domain);
    return 0;
}

static int check_dns(const struct options *o, struct err *err)
{
    struct in6_addr address;
    if (o->dns.n_items > OPTIONS_MAX_DNS)
        return err_set(err, ERR_INVALID_ARGUMENT, "--dns: more than %d servers",
                       OPTIONS_MAX_DNS);
    for (size_t i = 0; i < o->dns.n_items; i++)
        if (inet_pton(AF_INET, o->dns.items[i], &address) != 1 &&
            inet_pton(AF_INET6, o->dns.items[i], &address) != 1)
            return err_set(err, ERR_INVALID_ARGUMENT, "--dns: `%s` is no IPv4 or IPv6 address",
                           o->dns.items[i]);
    return 0;
}

/* In the form that requests have, so that comparing them is comparing words. */
static int check_host_directories(const struct options *o, struct err *err)
{
    if (o->host_directories.n_items > OPTIONS_MAX_HOST_DIRECTORIES)
        return err_set(err, ERR_INVALID_ARGUMENT, "--host-directories: more than %d",
                       OPTIONS_MAX_HOST_DIRECTORIES);
    for (size_t i = 0; i < o->host_directories.n_items; i++)
        if (!machine_path_valid(o->host_directories.items[i]))
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "--host-directories: `%s` is not an absolute path without empty, "
                           "`.` and `..` parts and shorter than %d bytes",
                           o->host_directories.items[i], MACHINE_PATH_MAX);
    return 0;
}

static int options_check(struct options *o, struct err *err)
{
    if (o->max_sandboxes == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "--max-sandboxes: 0 would serve nobody");
    o->root_on_disk = strcmp(o->root_backing, "disk") == 0;
    if (!o->root_on_disk && strcmp(o->root_backing, "memory") != 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--root-backing: `%s` is neither memory nor disk", o->root_backing);
    o->network_private = strcmp(o->network, "egress-private") == 0;
    o->network_auto = strcmp(o->network, "auto") == 0;
    o->network_wanted =
        o->network_private || o->network_auto || strcmp(o->network, "egress") == 0;
    if (!o->network_wanted && strcmp(o->network, "none") != 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--network: `%s` is none of none, auto, egress and egress-private",
                       o->network);
    if (check_dns(o, err) < 0)
        return -1;
    if (o->root_size_bytes == NOT_GIVEN)
        o->root_size_bytes = o->root_on_disk ? ROOT_DISK_BYTES : ROOT_MEMORY_BYTES;
    if (o->root_size_bytes == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "--root-size: 0 leaves no room to write");
    if (o->log_size_bytes < OPTIONS_MIN_LOG_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "--log-size: less than 1Mi");
    if (o->default_lifetime_ns == 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--default-lifetime: 0 would end every sandbox");
    if ((o->tls_cert == NULL) != (o->tls_key == NULL))
        return err_set(err, ERR_INVALID_ARGUMENT, "--tls-cert and --tls-key belong together");
    if (o->listen.n_items + (o->front != NULL) > OPTIONS_MAX_LISTENERS)
        return err_set(err, ERR_INVALID_ARGUMENT, "--listen: more than %d addresses",
                       OPTIONS_MAX_LISTENERS);
    if (check_front(o, err) < 0)
        return -1;
    if (o->embedded && o->listen.n_items > 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "--listen cannot be used with --embedded");
    if (o->embedded && o->unix_allow_uid.n_items > 0)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "--unix-allow-uid cannot be used with --embedded");
    if (o->data_dir != NULL && o->data_dir[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT, "--data-dir: `%s` is not absolute",
                       o->data_dir);
    if (o->secret_stores != NULL && o->secret_stores[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT, "--secret-stores: `%s` is not absolute",
                       o->secret_stores);
    if (check_host_directories(o, err) < 0)
        return -1;
    const char *name = o->service_name;
    if (name != NULL &&
        (strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name) ||
         strlen(name) > 63))
        return err_set(err, ERR_INVALID_ARGUMENT, "--service-name: `%s` is not [a-z0-9-]{1,63}",
                       name);
    if (o->embedded && !o->idle_given)
        o->idle_ns = 60 * NS_PER_SEC;
    if (derive_image_pull(o, err) < 0)
        return -1;
    if (derive_aliases(o, err) < 0)
        return -1;
    return derive_uids(o, err);
}

int options_load(struct options *o, int argc, char *const *argv, char *const *env,
                 struct err *err)
{
    o->root_size_bytes = NOT_GIVEN; /* its default is not one text */
    if (apply_defaults(o, err) < 0 || apply_flags(o, argc, argv, "ready-fd", err) < 0 ||
        apply_flags(o, argc, argv, "help", err) < 0 ||
        apply_flags(o, argc, argv, "version", err) < 0)
        return -1;
    if (o->help || o->version)
        return 0;
    if (apply_flags(o, argc, argv, "config", err) < 0 ||
        apply_flags(o, argc, argv, "embedded", err) < 0)
        return -1;
    /* The embedded service is the user's own; the machine's file describes another one. */
    if ((!o->embedded || o->config != NULL) && apply_config(o, err) < 0)
        return -1;
    if (apply_env(o, env, err) < 0 || apply_flags(o, argc, argv, NULL, err) < 0)
        return -1;
    return options_check(o, err);
}

void options_note_overrides(const struct options *o,
                            void (*note)(const char *option, const char *variable))
{
    for (size_t i = 0; i < options_table_len; i++)
        if ((o->rows_env_won & 1ull << i) != 0)
            note(options_table[i].name, options_table[i].env);
}

void options_done(struct options *o)
{
    for (size_t i = 0; i < options_table_len; i++) {
        void *field = (char *)o + options_table[i].offset;
        if (options_table[i].type == OPTION_TEXT)
            free(*(char **)field);
        else if (options_table[i].type == OPTION_LIST)
            text_list_done(field);
    }
    for (size_t i = 0; i < o->n_aliases; i++)
        free((char *)o->aliases[i].pattern);
    free(o->aliases);
    free(o->allowed_uids);
    *o = (struct options){0};
}

void options_help(FILE *out)
{
    (void)fprintf(
        out,
        "Usage: cwsandboxd [--flag [value]]...\n"
        "Serves sandboxes over gRPC. Flags win over the environment, the environment over the "
        "configuration file.\n\n");
    for (size_t i = 0; i < options_table_len; i++) {
        const struct option_def *def = &options_table[i];
        const char *shown = def->shown_default != NULL ? def->shown_default : def->default_text;
        (void)fprintf(out, "  --%s%s%s%s\n      %s\n", def->name,
                      def->value_name != NULL ? " " : "",
                      def->value_name != NULL ? def->value_name : "",
                      def->type == OPTION_LIST ? "  (repeatable)" : "", def->help);
        if (shown != NULL && def->type != OPTION_FLAG)
            (void)fprintf(out, "      default: %s\n", shown);
        if (def->env != NULL)
            (void)fprintf(out, "      environment: %s\n", def->env);
    }
}
