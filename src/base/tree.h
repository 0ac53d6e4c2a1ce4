/*
 * A directory tree through a byte stream, either way: what cwsandbox-init and the library both do, for uploads and downloads.
 * Blocking; the caller gives the two ends. No allocation: all state is in a `struct tree_sender` or `struct tree_receiver` of
 * some 600 KiB, so a tree of any size is never whole in memory.
 *
 * The sender walks in depth, each directory before what is in it. Links are sent, never followed; sockets, FIFOs and devices
 * are left out, and what vanishes before it was reached was not there. Hard links become separate files.
 *
 * The receiver believes nothing. It works with one name at a time, relative to the descriptor of the directory that it is in
 * (so there is no path that could lead anywhere else), follows no link, and refuses what is not in that order. A file that is there
 * already is overwritten and keeps its owner and its mode; a link, socket, FIFO or device of that name is replaced; a
 * directory of that name stays what it is. On a failure what came before it stays.
 */
#ifndef CWS_BASE_TREE_H
#define CWS_BASE_TREE_H

#include <sys/stat.h>

#include "base/tree-tar.h"

#define TREE_DEPTH_MAX 128     /* directories within each other. Chosen: a descriptor each */
#define TREE_BUFFER (1u << 16) /* Linux's default pipe capacity */

struct tree_fault {
    int error;                    /* errno; 0: */
    const char *why;              /* static text: "`path` WHY" */
    char path[TREE_PATH_MAX + 1]; /* within the tree; "" = the stream, or the tree itself */
};

/* Where bytes go. 0 or -errno, which becomes the fault's error with the path "". */
struct tree_sink {
    int (*write)(struct tree_sink *sink, const void *data, size_t n);
};
/* Where they come from: at most @n bytes, 0 at the end, -errno. */
struct tree_source {
    ssize_t (*read)(struct tree_source *source, void *data, size_t n);
};

struct tree_sender;

/* What is sent instead of a plain tree. */
struct tree_sender_format {
    /** head() - what stands in front of the content of @kind at s->path. @fd: -1 of a link. 0, or 1: there is no content; -1 with a fault. */
    int (*head)(struct tree_sender *s, enum tree_kind kind, int fd, const struct stat *st);
    /** other() - what is no file, directory or link. 0 or -1. */
    int (*other)(struct tree_sender *s, const struct stat *st);
    /** skip() - whether s->path is left out, with what is below it. */
    bool (*skip)(const struct tree_sender *s);
};

struct tree_sender {
    struct tree_sink *sink;
    const struct tree_sender_format *format; /* NULL: plain */
    struct tree_fault fault;
    size_t depth; /* directories that are open */
    size_t path_len;
    char path[TREE_PATH_MAX + 2], link[TREE_PATH_MAX + 1]; /* one more: a slash behind it */
    size_t n_out;
    uint8_t out[TREE_BUFFER], head[TREE_HEAD_MAX];
    struct tree_level {
        int fd;
        size_t path_len; /* of `path` in front of it */
        size_t at, n;    /* of `names` */
        _Alignas(8) char names[4096];
    } levels[TREE_DEPTH_MAX];
};

/** tree_send() - the tree at @fd (borrowed). 0, or -1 with @s->fault. */
int tree_send(struct tree_sender *s, int fd, struct tree_sink *sink);

/* The same in steps, for several trees in one stream. @s is zeroed, with `sink` and `format`. */
/** tree_send_part() - the tree at @fd (borrowed) as @path; "": as the whole. 0, or -1 with @s->fault. */
int tree_send_part(struct tree_sender *s, int fd, const char *path);
/** tree_send_end() - the mark of the end, without which nothing is whole. */
int tree_send_end(struct tree_sender *s);
/** tree_put(), tree_fault() - for a format: bytes into the stream; -1 because of s->path. */
int tree_put(struct tree_sender *s, const void *data, size_t n);
int tree_fault(struct tree_sender *s, int error, const char *why);

enum tree_flags {
    TREE_LINKS_WITHIN = 1 << 0, /* refuse links whose target is not certainly within the tree */
    TREE_TOP_MADE =
        1
        << 1, /* the caller has made the directory, with 0777 and its umask: it gets mode and time, too */
};

struct tree_receiver {
    struct tree_source *source;
    enum tree_flags flags;
    struct tree_fault fault;
    struct tree_head_reader head;
    size_t depth;
    size_t path_len; /* of `path`: the directory that is open deepest */
    char path[TREE_PATH_MAX + 1];
    struct {
        int fd;
        size_t path_len;  /* of the directory above it */
        bool made;        /* by us: gets its mode and its time when everything is in it */
        uint32_t no_bits; /* that its mode shall not have in the end */
        int64_t mtime_s;
    } levels[TREE_DEPTH_MAX];
    size_t at, n_in;
    uint8_t in[TREE_BUFFER];
};

/** tree_receive() - into the directory @fd (borrowed), which is there. 0, or -1 with @r->fault. The stream is read to its end. */
int tree_receive(struct tree_receiver *r, int fd, struct tree_source *source,
                 enum tree_flags flags);

#endif
