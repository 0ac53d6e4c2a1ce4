/* A command line in memory: how one goes from program to program. */
#ifndef CWS_LAUNCH_ARGUMENTS_H
#define CWS_LAUNCH_ARGUMENTS_H

struct arguments {
    int n;
    char **items; /* NULL at the end; they borrow from @text */
    char *text;
};

/** arguments_write() - a memory file, close-on-exec, each argument with its NUL; -errno. */
int arguments_write(int n, char *const *items);
/** arguments_read() - what arguments_write() made, or a front (handover.h). 0, -EBADMSG, -ENOMEM; arguments_done() in any case. */
int arguments_read(struct arguments *ret, int take_fd);
/**
 * arguments_execute() - the program at @path, or else open at @program, with `@option @fd` in front of the arguments
 * Returns -errno.
 */
int arguments_execute(const struct arguments *a, const char *path, int program,
                      const char *option, int fd);
void arguments_done(struct arguments *a);

#endif
