/* What cwsandbox-launch was started with; read by main.c, borrowed by everybody else for the program's life. */
#ifndef CWS_LAUNCH_OPTIONS_H
#define CWS_LAUNCH_OPTIONS_H

#include <sys/types.h>

#include "base/macros.h"
#include "privproto/resolve.h"

#define MAX_MACHINE_DIRS 64 /* chosen */
#define MAX_SOCKET_FILES 16 /* as many as listeners */

struct options {
    int argc;
    char **argv;               /* the line itself */
    bool check;                /* print what this machine gives, and exit */
    int sock_fd;               /* the daemon */
    int table_fd;              /* what a program before this one left (table.h), or -1: */
    bool resume_engine, again; /* of an engine; that was us, and the one after us failed */
    int control_fd; /* the supervisor: next daemons' sockets, or -1 when there is none */
    const char *init_path;
    const char *state_dir;
    const char *images_dir;      /* the store of images; NULL: state_dir "/images" */
    uint64_t disk_size_bytes;    /* of each sandbox's disk; 0: none has one */
    uint64_t disk_reserve_bytes; /* what disks leave free on the machine's file system */
    bool network;                /* sandboxes may have one, where that can be */
    const char *dns[RESOLVE_MAX_SERVERS + 1]; /* struct resolver */
    size_t n_dns;
    const char *machine_dirs[MAX_MACHINE_DIRS]; /* below these sandboxes may be shown some */
    size_t n_machine_dirs;
    const char *service;
    uint32_t uid_base;

    /* The supervisor's. */
    bool supervise;
    char **daemon_argv; /* [0] is a path */
    uid_t daemon_uid;   /* -1: our own */
    gid_t daemon_gid;
    const char
        *secret_paths[3]; /* API keys, certificate, its key; read again on SIGHUP; NULL: none */
    const char *socket_files[MAX_SOCKET_FILES]; /* removed at the end */
    size_t n_socket_files;
    const char **front_args; /* what cwsandboxd was started with, but for its name */
    size_t n_front_args;
    const char *image_path; /* cwsandbox-image; NULL: images are not brought */
    bool image_public_only; /* see fetches.h */
    bool image_logins;
    const char *image_secrets; /* directory, or NULL */
    const char *remove_data;   /* the data directory, when it is to go at the end */
};

/** options_parse() - @ret has its defaults; borrows @argv. -EINVAL: a mistake in it. */
int options_parse(int argc, char **argv, struct options *ret);
/** options_done() - what options_parse() allocated. */
void options_done(struct options *options);

#endif
