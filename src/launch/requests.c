/*
 * The daemon's requests. The daemon parses bytes of strangers, so it is not believed: a packet
 * that launchproto cannot have made, or a type without a row here, ends launch and with it
 * every sandbox.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "launch/cell.h"

#define SEND_RETRY_MS 2 /* the kernel is short of memory */
#define SEND_TRIES 1000 /* chosen: 2 s */

void answer_status(struct engine *e, const struct launch_message *request, int status,
                   const char *stage)
{
    struct launch_message answer = {
        .type = request->type, .seq = request->seq, .answer = true, .u.status.status = status};

    if (status < 0)
        (void)snprintf(answer.u.status.stage, sizeof(answer.u.status.stage), "%s", stage);
    (void)answer_send(e, &answer, -1);
}

static void on_hello(struct engine *e, const struct launch_message *request)
{
    struct launch_message answer = {
        .type = LAUNCH_HELLO, .seq = request->seq, .answer = true, .u.features = e->features};

    answer.u.features.version =
        LAUNCH_VERSION; /* a daemon of another one has read enough, and leaves */
    (void)answer_send(e, &answer, -1);
}

/* Safe to grant: writes numbers into files of a directory that this launch made under an id it
 * knows; lowers a limit of its own, unreaped child. */
static void on_limits(struct engine *e, const struct launch_message *request)
{
    struct cell *cell = cell_find(e, request->u.limits.id);

    if (cell)
        limits_set(e, cell, request->seq, &request->u.limits);
    else
        answer_status(e, request, -ENOENT, "id");
}

/* Safe to grant: only pids of our own, unreaped children. */
static void on_kill(struct engine *e, const struct launch_message *request)
{
    struct cell *cell = cell_find(e, request->u.id);

    if (cell)
        cell_kill(e, cell);
    answer_status(e, request, cell ? 0 : -ENOENT, "id");
}

/* Safe to grant: writes "1" to cgroup.kill of a numbered directory below one that this launch made. */
static void on_kill_exec(struct engine *e, const struct launch_message *request)
{
    kills_add(e, request->seq, &request->u.kill_exec);
}

static void on_usage(struct engine *e, const struct launch_message *request)
{
    struct launch_message answer = {.type = LAUNCH_USAGE, .seq = request->seq, .answer = true};

    if (cell_find(e, request->u.id))
        cgroup_usage(&e->cgroups, request->u.id, &answer.u.usage);
    else
        answer.u.usage.status = -ENOENT;
    (void)answer_send(e, &answer, -1);
}

static void on_freeze(struct engine *e, const struct launch_message *request)
{
    int r = -ENOENT;

    if (cell_find(e, request->u.freeze.id))
        r = cgroup_freeze(&e->cgroups, request->u.freeze.id, request->u.freeze.frozen);
    answer_status(e, request, r, r == -ENOENT ? "id" : "freeze");
}

/* Safe to grant: what the daemon before had, of sandboxes that are all the service's own. Ids are the order: with one the
 * next is found at once, so a list of 10,000 costs 10,000 round trips and no memory. */
static void on_list(struct engine *e, const struct launch_message *request)
{
    struct launch_message answer = {.type = LAUNCH_LIST, .seq = request->seq, .answer = true};
    struct cell *cell = NULL;

    if (*request->u.after && !cell_find(e, request->u.after))
        answer.u.listed.status = -ENOENT;
    else
        cell = cell_next_running(e, request->u.after);
    if (cell) {
        memcpy(answer.u.listed.id, cell->id, sizeof(cell->id));
        answer.u.listed.pid = cell->pid;
        answer.u.listed.init_version = cell->init_version;
        answer.u.listed.memory_bytes = cell->limits.memory_bytes;
        answer.u.listed.cpu_millis = cell->limits.cpu_millis;
        answer.u.listed.pids = cell->limits.pids;
    }
    int r = answer_send(e, &answer, cell ? cell->control_fd : -1);

    if (r < 0) { /* too many descriptors are on their way */
        answer.u.listed = (struct launch_listed){.status = r};
        (void)answer_send(e, &answer, -1);
    }
}

/* Safe to grant: takes from a sandbox of ours what it could reach, and gives only what the table lets be granted. */
static void on_network(struct engine *e, const struct launch_message *request)
{
    struct cell *cell = cell_find(e, request->u.rules.id);
    int r = cell ? cell_rule(e, cell, &request->u.rules) : -ENOENT;

    answer_status(e, request, r, cell ? "network rules" : "id");
}

/* clang-format off */
static const struct request {
    enum launch_type type;
    void (*handle)(struct engine *e, const struct launch_message *request);
} requests[] = {
    {LAUNCH_HELLO, on_hello},
    {LAUNCH_CREATE, cell_create},
    {LAUNCH_LIMITS, on_limits},
    {LAUNCH_KILL, on_kill},
    {LAUNCH_USAGE, on_usage},
    {LAUNCH_FREEZE, on_freeze},
    {LAUNCH_KILL_EXEC, on_kill_exec},
    {LAUNCH_LIST, on_list},
    {LAUNCH_NETWORK, on_network},
};
/* clang-format on */

/* One packet of the daemon's. 0, -EAGAIN, -EPIPE at EOF, -EBADMSG. */
static int receive(const struct engine *e, struct launch_message *ret)
{
    static uint8_t data[LAUNCH_MAX_PACKET +
                        1]; /* single-threaded; one byte more shows an overlong packet */
    ssize_t n = recv(e->sock_fd, data, sizeof(data), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    if (n <= 0)
        return -EPIPE;
    return launchproto_decode(data, (size_t)n, ret) < 0 || ret->answer ? -EBADMSG : 0;
}

int requests_handle(struct engine *e)
{
    struct launch_message request;
    int r = receive(e, &request);

    if (r < 0)
        return r == -EAGAIN ? 0 : r;
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        if (requests[i].type == request.type) {
            requests[i].handle(e, &request);
            return 0;
        }
    }
    return -EBADMSG;
}

void requests_answer_hello(struct engine *e)
{
    struct launch_message request;

    if (receive(e, &request) == 0 && request.type == LAUNCH_HELLO)
        on_hello(e, &request);
}

/* Of a send that failed with errno @error: 1 to try again, 0 to let it be, or -errno. The daemon waits for every answer, so
 * none is given up while it lives: then it ends, and without a supervisor everything. */
static int judge_failure(struct engine *e, int error, bool has_fd, int n_tries)
{
    if (error == EINTR)
        return 1;
    if (error == EPIPE || error == ECONNRESET)
        return 0;
    if (error == ETOOMANYREFS && has_fd)
        return -ETOOMANYREFS;
    if (n_tries < SEND_TRIES) {
        (void)poll(NULL, 0, SEND_RETRY_MS);
        return 1;
    }
    /* With a supervisor only this daemon ends: it sees EOF, and so do we (lose_daemon()). */
    bool supervised = e->options->control_fd >= 0;
    log_event(LOG_ERROR, "launch_cannot_answer", "errno=%d consequence=\"%s\"", error,
              supervised ? "the daemon ends" : "all sandboxes end");
    if (supervised)
        (void)shutdown(e->sock_fd, SHUT_RDWR);
    else
        e->stopping = true;
    return 0;
}

int answer_send(struct engine *e, const struct launch_message *msg, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    uint8_t data[8192]; /* the largest answer, features, is below 3 KiB */
    struct iovec iov = {.iov_base = data};
    struct msghdr out = {.msg_iov = &iov, .msg_iovlen = 1};

    if (e->sock_fd < 0 || (msg->answer && msg->seq == 0))
        return 0; /* between two daemons, or asked for by one that is gone: the next one asks what there is */
    ssize_t n = launchproto_encode(msg, data, sizeof(data));
    CHECK(n > 0);
    iov.iov_len = (size_t)n;
    if (fd >= 0) {
        out.msg_control = &control;
        out.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&out);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    for (int i = 0; sendmsg(e->sock_fd, &out, MSG_NOSIGNAL) < 0; i++) {
        int r = judge_failure(e, errno, fd >= 0, i);

        if (r <= 0)
            return r;
    }
    return 0;
}
