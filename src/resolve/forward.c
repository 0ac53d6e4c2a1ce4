/*
 * See forward.h. A question is passed on as it came, under a number of our own, from a port that the kernel chooses for it
 * alone: by UDP what came by UDP, by TCP what came by TCP, so whoever gets a cut answer asks again as always. Nothing is kept:
 * what one sandbox was told no other one hears.
 */
#include "resolve/forward.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/util.h"

#define PREFIX 2u           /* of a message over TCP: its length (RFC 1035 4.2.2) */
#define ROUNDS 2u           /* chosen: each server is asked so often */
#define LOOK_MS 1000        /* chosen: an operator's change of the servers is heeded by then */
#define EVENTS 64           /* a turn */
#define QUESTIONS_A_TURN 64 /* chosen: then others have their turn */

/* What an event is about: a socket of ours, or one of a query's two. */
enum { EVENT_CLIENT, EVENT_SERVER, EVENT_UDP = 2 * QUERIES_MAX, EVENT_TCP, EVENT_ENGINE };

static int watch_as(const struct resolver *r, int op, int fd, uint32_t events, uint64_t about)
{
    struct epoll_event event = {.events = events, .data.u64 = about};

    return epoll_ctl(r->poll_fd, op, fd, &event) < 0 ? -errno : 0;
}

static int watch(const struct resolver *r, const struct query *q, int op, bool server,
                 uint32_t events)
{
    return watch_as(r, op, server ? q->server : q->client, events,
                    2 * (uint64_t)(q - r->queries) + server);
}

static bool later(void)
{
    return errno == EAGAIN || errno == EINTR;
}

/* ---- messages over TCP ---- */

/* 1: a whole message is there; 0: not yet; -errno. */
static int pump_in(int fd, uint8_t *bytes, size_t size, size_t *at)
{
    for (;;) {
        size_t whole = *at < PREFIX ? PREFIX : PREFIX + message_u16(bytes);
        ssize_t n;

        if (whole > size)
            return -EMSGSIZE;
        if (*at >= PREFIX && *at == whole)
            return 1;
        n = recv(fd, bytes + *at, whole - *at, 0);
        if (n <= 0)
            return n < 0 && later() ? 0 : -EPIPE;
        *at += (size_t)n;
    }
}

static int pump_out(int fd, const uint8_t *bytes, size_t size, size_t *at)
{
    while (*at < size) {
        ssize_t n = send(fd, bytes + *at, size - *at, MSG_NOSIGNAL);

        if (n < 0)
            return later() ? 0 : -EPIPE;
        *at += (size_t)n;
    }
    return 1;
}

/* ---- answers ---- */

static bool by_tcp(const struct query *q)
{
    return q->client >= 0;
}

static void answer_udp(const struct sockaddr_in *to, const uint8_t *bytes, size_t n)
{
    (void)sendto(RESOLVE_UDP, bytes, n, MSG_DONTWAIT, (const struct sockaddr *)to,
                 sizeof(*to)); /* lost, as datagrams are: it asks again */
}

static void go_on_reading(struct resolver *r, struct query *q)
{
    q->at = 0;
    q->n_tries = 0;
    query_enter(r, q, QUERY_READING);
    if (watch(r, q, EPOLL_CTL_MOD, false, EPOLLIN) < 0)
        query_free(r, q);
}

static void write_answer(struct resolver *r, struct query *q)
{
    int done = pump_out(q->client, q->answer, q->n_answer, &q->at);

    if (done < 0)
        query_free(r, q);
    else if (done > 0)
        go_on_reading(r, q);
}

/* The @n bytes of the message are in place. */
static void answer_tcp(struct resolver *r, struct query *q, size_t n)
{
    message_put_u16(q->answer, (uint16_t)n);
    message_put_u16(q->answer + PREFIX, q->id);
    q->n_answer = PREFIX + n;
    q->at = 0;
    query_enter(r, q, QUERY_ANSWERING);
    if (watch(r, q, EPOLL_CTL_MOD, false, EPOLLOUT) < 0)
        query_free(r, q);
}

static void deliver(struct resolver *r, struct query *q, uint8_t *message, size_t n)
{
    if (by_tcp(q)) {
        answer_tcp(r, q, n);
        return;
    }
    message_put_u16(message, q->id);
    answer_udp(&q->from, message, n);
    query_free(r, q);
}

static void refuse(struct resolver *r, struct query *q, enum message_code code)
{
    uint8_t *message = by_tcp(q) ? q->bytes + PREFIX : q->bytes;
    size_t n = message_refuse(message, &q->question, code);

    cleanup_fd(&q->server);
    if (by_tcp(q))
        memcpy(q->answer + PREFIX, message, n);
    deliver(r, q, message, n);
}

/* ---- grants ---- */

static int keep_answer(struct query *q, const uint8_t *message, size_t n)
{
    if (!by_tcp(q)) {
        q->answer = malloc(PREFIX + n);
        if (!q->answer)
            return -ENOMEM;
        memcpy(q->answer + PREFIX, message, n);
    }
    q->n_answer = PREFIX + n;
    return 0;
}

static int ask_engine(struct resolver *r, struct query *q, struct resolve_grant *g)
{
    g->query = (uint32_t)(q - r->queries);
    g->number = q->number = r->n_grants++;
    g->sandbox = ntohl(q->from.sin_addr.s_addr);
    return send(RESOLVE_ENGINE, g, sizeof(*g), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Where a granted name leads to may be reached before the asker knows of it. */
static void on_answer(struct resolver *r, struct query *q, uint8_t *message, size_t n)
{
    struct resolve_grant grant = {0};
    int found = 0;

    cleanup_fd(&q->server);
    if (q->may == NAMES_GRANTED)
        found = message_addresses(message, n, &q->question, RESOLVE_TTL_MAX_S, grant.addresses,
                                  RESOLVE_MAX_ADDRESSES);
    if (found == 0) {
        deliver(r, q, message, n);
        return;
    }
    grant.n = (uint32_t)found;
    if (found < 0 || keep_answer(q, message, n) < 0 || ask_engine(r, q, &grant) < 0)
        refuse(r, q, MESSAGE_SERVER_FAILURE);
    else
        query_enter(r, q, QUERY_GRANTING);
}

/* 0, or -EPIPE: the engine is gone. */
static int on_engine(struct resolver *r)
{
    struct resolve_granted granted;
    ssize_t n = recv(RESOLVE_ENGINE, &granted, sizeof(granted), MSG_DONTWAIT);
    struct query *q;

    if (n < 0 && later())
        return 0;
    if (n != (ssize_t)sizeof(granted) || granted.query >= QUERIES_MAX)
        return -EPIPE;
    q = &r->queries[granted.query];
    if (q->state == QUERY_GRANTING && q->number == granted.number)
        deliver(r, q, q->answer + PREFIX, q->n_answer - PREFIX);
    return 0;
}

/* ---- servers ---- */

static int open_server(const struct server *s, bool tcp)
{
    CLEANUP_FD int fd =
        socket(s->address.any.sa_family,
               (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || (connect(fd, &s->address.any, s->size) < 0 && errno != EINPROGRESS))
        return -errno;
    return TAKE_FD(fd);
}

static int try_server(struct resolver *r, struct query *q, const struct server *s)
{
    uint8_t *message = by_tcp(q) ? q->bytes + PREFIX : q->bytes;

    random_bytes(message, 2);
    q->at = 0;
    q->server = open_server(s, by_tcp(q));
    if (q->server < 0)
        return q->server;
    if (!by_tcp(q) && send(q->server, message, q->n, 0) != (ssize_t)q->n)
        return -EIO;
    return watch(r, q, EPOLL_CTL_ADD, true, by_tcp(q) ? EPOLLOUT : EPOLLIN);
}

/* The next server. */
static void ask(struct resolver *r, struct query *q)
{
    while (q->n_tries < ROUNDS * r->servers.n) {
        cleanup_fd(&q->server);
        if (try_server(r, q, &r->servers.list[q->n_tries++ % r->servers.n]) < 0)
            continue;
        query_enter(r, q, QUERY_ASKING);
        return;
    }
    refuse(r, q, MESSAGE_SERVER_FAILURE);
}

static void on_server_udp(struct resolver *r, struct query *q)
{
    static uint8_t bytes[MESSAGE_MAX];
    ssize_t n = recv(q->server, bytes, sizeof(bytes), 0);

    if (n < 0 && !later()) /* nobody listens there */
        ask(r, q);
    if (n < 0 || !message_answers(bytes, (size_t)n, q->bytes, &q->question))
        return;
    on_answer(r, q, bytes, (size_t)n);
}

/* The question goes out, the answer comes in. */
static void on_server_tcp(struct resolver *r, struct query *q, uint32_t events)
{
    int done;

    if (events & EPOLLOUT) {
        done = pump_out(q->server, q->bytes, q->n, &q->at);
        if (done > 0) {
            q->at = 0;
            done = watch(r, q, EPOLL_CTL_MOD, true, EPOLLIN);
        }
    } else {
        done = pump_in(q->server, q->answer, PREFIX + MESSAGE_MAX, &q->at);
        if (done > 0 && message_answers(q->answer + PREFIX, q->at - PREFIX, q->bytes + PREFIX,
                                        &q->question)) {
            on_answer(r, q, q->answer + PREFIX, q->at - PREFIX);
            return;
        }
        done = done > 0 ? -EBADMSG : done;
    }
    if (done < 0)
        ask(r, q);
}

static void on_server(struct resolver *r, struct query *q, uint32_t events)
{
    if (q->server < 0 || q->state != QUERY_ASKING)
        return; /* of one that had this place before */
    if (by_tcp(q))
        on_server_tcp(r, q, events);
    else
        on_server_udp(r, q);
}

/* ---- questions ---- */

static enum names_answer may_ask(const struct resolver *r, const struct sockaddr_in *from,
                                 const struct question *question)
{
    uint32_t place = RESOLVE_PLACE(ntohl(from->sin_addr.s_addr));

    switch ((enum resolve_mode)r->table->modes[place]) {
    case RESOLVE_ANY:
        return NAMES_ASKED;
    case RESOLVE_NAMED:
        return names_look_up(r->table->names[place], LAUNCH_MAX_NAMES, question);
    case RESOLVE_NOTHING:
        break;
    }
    return NAMES_REFUSED;
}

static void on_question(struct resolver *r, const struct sockaddr_in *from, uint8_t *bytes,
                        size_t n)
{
    struct question question;
    enum names_answer may;
    struct query *q;

    if (n > QUERY_MAX_BYTES || message_question(bytes, n, &question) < 0)
        return;
    may = may_ask(r, from, &question);
    if (may == NAMES_REFUSED) {
        answer_udp(from, bytes, message_refuse(bytes, &question, MESSAGE_REFUSED));
        return;
    }
    q = query_add(r, from, n);
    if (!q)
        return;
    memcpy(q->bytes, bytes, n);
    q->n = n;
    q->id = message_u16(bytes);
    q->question = question;
    q->may = may;
    ask(r, q);
}

static void on_udp(struct resolver *r)
{
    static uint8_t bytes[QUERY_MAX_BYTES + 1];

    for (int i = 0; i < QUESTIONS_A_TURN; i++) {
        struct sockaddr_in from = {0};
        socklen_t size = sizeof(from);
        ssize_t n = recvfrom(RESOLVE_UDP, bytes, sizeof(bytes), MSG_DONTWAIT,
                             (struct sockaddr *)&from, &size);

        if (n < 0)
            return;
        on_question(r, &from, bytes, (size_t)n);
    }
}

static void on_tcp(struct resolver *r)
{
    struct sockaddr_in from = {0};
    socklen_t size = sizeof(from);
    CLEANUP_FD int fd =
        accept4(RESOLVE_TCP, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct query *q = fd < 0 ? NULL : query_add(r, &from, PREFIX + QUERY_MAX_BYTES);

    if (!q)
        return;
    q->client = TAKE_FD(fd);
    q->answer = malloc(PREFIX + MESSAGE_MAX);
    if (!q->answer || watch(r, q, EPOLL_CTL_ADD, false, EPOLLIN) < 0)
        query_free(r, q);
}

static void read_question(struct resolver *r, struct query *q)
{
    int done = pump_in(q->client, q->bytes, PREFIX + QUERY_MAX_BYTES, &q->at);

    if (done > 0 && message_question(q->bytes + PREFIX, q->at - PREFIX, &q->question) < 0)
        done = -EBADMSG;
    if (done > 0)
        done = watch(r, q, EPOLL_CTL_MOD, false, 0) < 0 ? -EIO : 1; /* one at a time */
    if (done < 0)
        query_free(r, q);
    if (done <= 0)
        return;
    q->n = q->at;
    q->id = message_u16(q->bytes + PREFIX);
    q->may = may_ask(r, &q->from, &q->question);
    if (q->may == NAMES_REFUSED)
        refuse(r, q, MESSAGE_REFUSED);
    else
        ask(r, q);
}

static void on_client(struct resolver *r, struct query *q, uint32_t events)
{
    if (q->client < 0)
        return; /* of one that had this place before */
    if (q->state == QUERY_READING)
        read_question(r, q);
    else if (q->state == QUERY_ANSWERING)
        write_answer(r, q);
    else if (events & (EPOLLERR | EPOLLHUP)) /* it asks no more */
        query_free(r, q);
}

/* ---- the loop ---- */

static void end_due(struct resolver *r)
{
    uint64_t now_ns = clock_now_ns();

    while (!list_empty(&r->used)) {
        struct query *q = CONTAINER_OF(r->used.next, struct query, node);

        if (q->due_ns > now_ns)
            return;
        if (q->state == QUERY_ASKING)
            ask(r, q);
        else if (q->state == QUERY_GRANTING)
            refuse(r, q, MESSAGE_SERVER_FAILURE);
        else
            query_free(r, q);
    }
}

static int wait_ms(const struct resolver *r)
{
    uint64_t now_ns = clock_now_ns();
    const struct query *q = CONTAINER_OF(r->used.next, struct query, node);

    if (list_empty(&r->used))
        return -1;
    return q->due_ns <= now_ns ? 0 : (int)((q->due_ns - now_ns) / NS_PER_MS) + 1;
}

/* Whoever starts us anew has us read the file; the filter lets us no more. */
static bool is_outdated(struct resolver *r)
{
    uint64_t now_ns = clock_now_ns();

    if (now_ns - r->looked_ns < LOOK_MS * NS_PER_MS)
        return false;
    r->looked_ns = now_ns;
    return servers_changed(&r->servers);
}

static void on_event(struct resolver *r, const struct epoll_event *event)
{
    uint64_t about = event->data.u64;

    if (about == EVENT_UDP)
        on_udp(r);
    else if (about == EVENT_TCP)
        on_tcp(r);
    else if (about % 2 == EVENT_SERVER)
        on_server(r, &r->queries[about / 2], event->events);
    else
        on_client(r, &r->queries[about / 2], event->events);
}

int forward_init(struct resolver *r)
{
    static const struct {
        int fd;
        uint64_t about;
    } own[] = {
        {RESOLVE_UDP, EVENT_UDP}, {RESOLVE_TCP, EVENT_TCP}, {RESOLVE_ENGINE, EVENT_ENGINE}};

    queries_init(r);
    r->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (r->poll_fd < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (watch_as(r, EPOLL_CTL_ADD, own[i].fd, EPOLLIN, own[i].about) < 0)
            return -errno;
    r->looked_ns = clock_now_ns();
    random_bytes(&r->n_grants, sizeof(r->n_grants)); /* another one's before us are not ours */
    return 0;
}

int forward_turn(struct resolver *r)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(r->poll_fd, events, EVENTS, wait_ms(r));

    if (n > 0 && is_outdated(r))
        return -ESTALE;
    for (int i = 0; i < n; i++) {
        if (events[i].data.u64 != EVENT_ENGINE)
            on_event(r, &events[i]);
        else if (on_engine(r) < 0)
            return -EPIPE;
    }
    end_due(r);
    return 0;
}
