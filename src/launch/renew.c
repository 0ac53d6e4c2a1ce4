#include "launch/renew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/children.h"
#include "launch/listeners.h"

#define LISTEN_AT (HANDOVER_LISTEN - HANDOVER_KEYS)

void renew_init(struct renewal *r)
{
    *r = (struct renewal){.front_fd = -1, .words_fd = -1, .engine_fd = -1};
    for (size_t i = 0; i < ARRAY_SIZE(r->fds); i++)
        r->fds[i] = -1;
}

static void close_all(struct renewal *r)
{
    cleanup_fd(&r->front_fd);
    cleanup_fd(&r->words_fd);
    cleanup_fd(&r->engine_fd);
    for (size_t i = 0; i < ARRAY_SIZE(r->fds); i++)
        cleanup_fd(&r->fds[i]);
}

int renew_begin(struct renewal *r, const struct options *options, bool forced)
{
    int words[2], launch[2], front[2], n = child_pair(words);

    if (n < 0)
        return n;
    r->words_fd = words[0];
    CLEANUP_FD int their_words = words[1];
    n = child_pair(launch);
    if (n < 0)
        return n;
    r->engine_fd = launch[0];
    CLEANUP_FD int their_launch = launch[1];
    n = child_pair(front);
    if (n < 0)
        return n;
    r->front_fd = front[0];
    CLEANUP_FD int their_front = front[1];
    r->pid = fork();
    if (r->pid == 0)
        child_become_front(options, their_words, their_launch, their_front);
    if (r->pid < 0) {
        r->pid = 0;
        return -errno;
    }
    r->state = RENEW_OPENING;
    r->forced = forced;
    r->due_ns = clock_now_ns() + RENEW_MS * NS_PER_MS;
    return 0;
}

/* ---- what the front says ---- */

static int read_options(struct renewal *r, int take_fd)
{
    int n = arguments_read(&r->arguments, take_fd);

    if (n < 0)
        return n;
    r->options = (struct options){.sock_fd = -1,
                                  .control_fd = -1,
                                  .table_fd = -1,
                                  .service = "",
                                  .uid_base = DEFAULT_UID_BASE,
                                  .daemon_uid = (uid_t)-1};
    return options_parse(r->arguments.n, r->arguments.items, &r->options);
}

/* The engine has these. */
static int check_stays(const struct options *a, const struct options *b)
{
    if (strcmp(a->service, b->service) == 0 && strcmp(a->state_dir, b->state_dir) == 0 &&
        a->daemon_uid == b->daemon_uid && a->daemon_gid == b->daemon_gid)
        return 0;
    log_event(LOG_ERROR, "not_renewed",
              "error=\"the name, directory or user of a service cannot change while it runs\"");
    return -EPERM;
}

static int take_fds(struct renewal *r, uint8_t secrets, const int *fds, size_t n)
{
    size_t at = 0, listener = LISTEN_AT;

    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++) {
        if ((secrets & 1u << i) && at < n)
            r->fds[i] = child_move_up(fds[at++]);
    }
    while (at < n && listener < ARRAY_SIZE(r->fds))
        r->fds[listener++] = child_move_up(fds[at++]);
    return at == n ? 0 : -EBADMSG;
}

int renew_on_front(struct renewal *r, const struct options *current)
{
    uint8_t packet[2] = {0};
    int fds[HANDOVER_MAX_FDS];
    size_t n_fds = 0;
    ssize_t n = handover_receive(r->front_fd, packet, fds, &n_fds);

    if (n == -EAGAIN || n == -EINTR)
        return 0;
    int failed = n != 2 || packet[0] != HANDOVER_WORD_OPENED || n_fds == 0 ? -EPIPE : 0;
    size_t skip = failed ? 0 : 1;
    int moved =
        take_fds(r, packet[1], fds + skip, n_fds - skip); /* whatever comes, is closed later */
    if (!failed)
        failed = read_options(r, fds[0]);
    if (!failed)
        failed = moved;
    if (!failed)
        failed = check_stays(&r->options, current);
    cleanup_fd(&r->front_fd);
    if (failed)
        return failed;
    r->state = RENEW_PREPARING;
    return 1;
}

bool renew_same(const struct renewal *r, const struct options *current)
{
    if (r->options.argc != current->argc)
        return false;
    for (int i = 0; i < current->argc; i++) {
        if (strcmp(r->options.argv[i], current->argv[i]) != 0)
            return false;
    }
    return true;
}

/* ---- its end ---- */

void renew_drop(struct renewal *r, const struct options *current)
{
    if (r->pid > 0 && r->state != RENEW_TAKEN)
        (void)kill(r->pid, SIGKILL); /* not reaped yet; the end shows as that of a stranger */
    if (r->check_pid > 0)
        (void)kill(r->check_pid, SIGKILL);
    if (r->state > RENEW_OPENING)
        socket_files_remove(&r->options, current);
    options_done(&r->options);
    arguments_done(&r->arguments);
    close_all(r);
    renew_init(r);
}

const struct options *renew_commit(struct renewal *r, const struct options *current)
{
    static struct renewal
        kept[2]; /* the options in force, and what they borrow; and those before */
    static int turn;

    socket_files_remove(current, &r->options);
    for (size_t i = 0; i < ARRAY_SIZE(r->fds); i++) {
        int number = HANDOVER_KEYS + (int)i;

        if (r->fds[i] >= 0)
            (void)dup3(r->fds[i], number, O_CLOEXEC);
        else
            (void)close(number); /* EBADF: was not needed before either */
    }
    close_all(r);
    turn = !turn;
    options_done(&kept[turn].options);
    arguments_done(&kept[turn].arguments);
    kept[turn] = *r;
    renew_init(r);
    return &kept[turn].options;
}
