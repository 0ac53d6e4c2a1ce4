/* The command line of cwsandbox-launch: that of a start, and the one that a front hands over while a service runs. */
#include "launch/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "base/util.h"
#include "launch/launch.h"

#define DISK_MIN_BYTES (16u << 20) /* chosen: mkfs.ext4 wants some room of its own */

/* The name becomes a directory of every hierarchy. */
static bool service_valid(const char *name)
{
    return *name && *name != '.' && strlen(name) < 128 &&
           name[strspn(
               name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == 0;
}

static int parse_user(const char *text, struct options *o)
{
    uint64_t uid, gid;
    char copy[32];
    char *colon;

    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return -EINVAL;
    colon = strchr(copy, ':');
    if (!colon)
        return -EINVAL;
    *colon = 0;
    if (parse_u64(copy, UINT32_MAX - 1, &uid) < 0 ||
        parse_u64(colon + 1, UINT32_MAX - 1, &gid) < 0)
        return -EINVAL;
    o->daemon_uid = (uid_t)uid;
    o->daemon_gid = (gid_t)gid;
    return 0;
}

static int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    return parse_u64(text, max, ret) < 0 || *ret < min ? -EINVAL : 0;
}

static int parse_table(int c, struct options *o)
{
    uint64_t number;

    if (c != 'a' && c != 'e' && c != 'r')
        return -EINVAL;
    if (parse_number(optarg, 0, INT_MAX, &number) < 0)
        return -EINVAL;
    o->table_fd = (int)number;
    o->resume_engine = c != 'r';
    o->again = c == 'a';
    return 0;
}

static int add_word(const char **words, size_t *n, size_t max)
{
    if (*n == max)
        return -EINVAL;
    words[(*n)++] = optarg;
    return 0;
}

/* What comes from outside: images, names. */
static int parse_outside_option(int c, struct options *o)
{
    switch (c) {
    case 'P':
        o->image_path = optarg;
        return 0;
    case 'O':
        o->image_public_only = true;
        return 0;
    case 'N':
        o->image_logins = true;
        return 0;
    case 'T':
        o->image_secrets = optarg;
        return 0;
    case 'B':
        return add_word(o->dns, &o->n_dns, RESOLVE_MAX_SERVERS);
    default:
        return parse_table(c, o);
    }
}

static int parse_option(int c, struct options *o)
{
    uint64_t number = 0;

    switch (c) {
    case 'f':
        if (parse_number(optarg, 0, INT_MAX, &number) < 0)
            return -EINVAL;
        o->sock_fd = (int)number;
        return 0;
    case 'u':
        if (parse_number(optarg, UID_COUNT, UINT32_MAX - UID_COUNT, &number) < 0)
            return -EINVAL;
        o->uid_base = (uint32_t)number;
        return 0;
    case 'i':
        o->init_path = optarg;
        return 0;
    case 'd':
        o->state_dir = optarg;
        return 0;
    case 'I':
        o->images_dir = optarg;
        return 0;
    case 'D':
        return parse_number(optarg, DISK_MIN_BYTES, INT64_MAX, &o->disk_size_bytes);
    case 'E':
        return parse_number(optarg, 0, INT64_MAX, &o->disk_reserve_bytes);
    case 'W':
        o->network = true;
        return strcmp(optarg, "egress") == 0 ? 0 : -EINVAL;
    case 'H':
        return machine_path_valid(optarg)
                   ? add_word(o->machine_dirs, &o->n_machine_dirs, MAX_MACHINE_DIRS)
                   : -EINVAL;
    case 's':
        o->service = optarg;
        return 0;
    case 'c':
        o->check = true;
        return 0;
    case 'S':
        o->supervise = true;
        return 0;
    case 'U':
        return parse_user(optarg, o);
    case 'K': /* 'K', 'L', 'M': the order of handover.h */
    case 'L':
    case 'M':
        o->secret_paths[c - 'K'] = optarg;
        return 0;
    case 'F':
        return add_word(o->socket_files, &o->n_socket_files, MAX_SOCKET_FILES);
    case 'A': /* options_parse() made room */
        o->front_args[o->n_front_args++] = optarg;
        return 0;
    case 'R':
        o->remove_data = optarg;
        return 0;
    default:
        return parse_outside_option(c, o);
    }
}

int options_parse(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"fd", required_argument, NULL, 'f'},
        {"engine", required_argument, NULL, 'e'},
        {"engine-again", required_argument, NULL, 'a'},
        {"resume", required_argument, NULL, 'r'},
        {"init", required_argument, NULL, 'i'},
        {"state-dir", required_argument, NULL, 'd'},
        {"images", required_argument, NULL, 'I'},
        {"disk-size", required_argument, NULL, 'D'},
        {"disk-reserve", required_argument, NULL, 'E'},
        {"network", required_argument, NULL, 'W'},
        {"dns", required_argument, NULL, 'B'},
        {"host-directory", required_argument, NULL, 'H'},
        {"service", required_argument, NULL, 's'},
        {"uid-base", required_argument, NULL, 'u'},
        {"check", no_argument, NULL, 'c'},
        {"supervise", no_argument, NULL, 'S'},
        {"daemon-user", required_argument, NULL, 'U'},
        {"api-keys", required_argument, NULL, 'K'},
        {"tls-cert", required_argument, NULL, 'L'},
        {"tls-key", required_argument, NULL, 'M'},
        {"socket-file", required_argument, NULL, 'F'},
        {"front-argument", required_argument, NULL, 'A'},
        {"image-path", required_argument, NULL, 'P'},
        {"image-public-only", no_argument, NULL, 'O'},
        {"image-logins", no_argument, NULL, 'N'},
        {"image-secrets", required_argument, NULL, 'T'},
        {"remove-data", required_argument, NULL, 'R'},
        {NULL, 0, NULL, 0},
    };
    int c;

    o->argc = argc;
    o->argv = argv;
    o->front_args = calloc((size_t)argc, sizeof(*o->front_args));
    if (!o->front_args)
        return -ENOMEM;
    optind = 0; /* from the beginning, also the second time */
    while ((c = getopt_long(argc, argv, "+", names, NULL)) != -1) {
        if (parse_option(c, o) < 0)
            return -EINVAL;
    }
    o->daemon_argv = argv + optind;
    if (o->table_fd >= 0) { /* the first option is not of the line */
        argv[2] = argv[0];
        o->argv += 2;
        o->argc -= 2;
    }
    if (o->supervise != (optind < argc))
        return -EINVAL;
    return service_valid(o->service) ? 0 : -EINVAL;
}

void options_done(struct options *options)
{
    free(options->front_args);
    options->front_args = NULL;
}
