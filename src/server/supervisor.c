#include "server/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/util.h"
#include "privproto/handover.h"
#include "server/service.h"

enum { BIT_KEYS = 1 << 0, BIT_CERT = 1 << 1, BIT_CERT_KEY = 1 << 2 };

static void say(enum handover_word word, uint8_t value)
{
    const uint8_t packet[2] = {(uint8_t)word, value};
    /* Two bytes find room, or the supervisor is gone, which shows as EOF. */
    (void)send(HANDOVER_SUPER, packet, sizeof(packet), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void supervisor_say_ready(struct service *s)
{
    (void)s;
    say(HANDOVER_WORD_READY, 0);
}

void supervisor_say_prepared(struct service *s)
{
    (void)s;
    say(HANDOVER_WORD_PREPARED, 0);
}

void supervisor_say_stopping(struct service *s)
{
    (void)s;
    say(HANDOVER_WORD_STOPPING, 0);
}

int supervisor_fetch(int input, int output)
{
    const uint8_t packet[2] = {HANDOVER_WORD_FETCH, 0};
    const int fds[] = {input, output};
    return handover_send(HANDOVER_SUPER, packet, fds, ARRAY_SIZE(fds));
}

/* ---- secrets ---- */

/* By a path, because those who read certificates know files only; the memory is ours (mode 0600). */
static void memory_path(char ret[static 32], int fd)
{
    (void)snprintf(ret, 32, "/proc/self/fd/%d", fd);
}

static int load_keys(struct service *s, int fd, struct err *err)
{
    char path[32];
    memory_path(path, fd);
    struct keys *keys = keys_load_copy(path, s->options->api_keys, err);
    if (keys == NULL)
        return -1;
    keys_free(s->keys);
    s->keys = keys;
    return 0;
}

/* Connections that are open keep what they began with. */
static int load_certificate(struct service *s, int cert_fd, int key_fd, struct err *err)
{
    char cert[32], key[32];
    memory_path(cert, cert_fd);
    memory_path(key, key_fd);
    struct tls_config *tls = tls_server_new(cert, key, err);
    struct tls_config *web = tls != NULL ? tls_server_new_web(cert, key, err) : NULL;
    if (web == NULL) {
        tls_config_unref(tls);
        return err_wrap(err, "%s, %s", s->options->tls_cert, s->options->tls_key);
    }
    tls_config_unref(s->tls);
    tls_config_unref(s->web_tls);
    s->tls = tls;
    s->web_tls = web;
    return 0;
}

int supervisor_load_secrets(struct service *s, struct err *err)
{
    if (s->options->api_keys != NULL && load_keys(s, HANDOVER_KEYS, err) < 0)
        return -1;
    if (s->options->tls_cert != NULL &&
        load_certificate(s, HANDOVER_CERT, HANDOVER_CERT_KEY, err) < 0)
        return -1;
    return 0;
}

/* A typo must not lock everybody out, nor let anybody in: what cannot be used leaves the old in force. */
static uint8_t reload(struct service *s, uint8_t offered, const int fds[HANDOVER_N_SECRETS])
{
    uint8_t accepted = 0;
    if ((offered & BIT_KEYS) != 0) {
        CLEANUP_ERR struct err err = {0};
        if (load_keys(s, fds[0], &err) < 0) {
            log_event(LOG_ERROR, "keys_kept", "error=\"%s\"", err_text(&err));
        } else {
            log_event(LOG_INFO, "keys_loaded", "n=%zu", keys_count(s->keys));
            accepted |= BIT_KEYS;
        }
    }
    if ((offered & (BIT_CERT | BIT_CERT_KEY)) == (BIT_CERT | BIT_CERT_KEY)) {
        CLEANUP_ERR struct err err = {0};
        if (load_certificate(s, fds[1], fds[2], &err) < 0) {
            log_event(LOG_ERROR, "certificate_kept", "error=\"%s\"", err_text(&err));
        } else {
            log_event(LOG_INFO, "certificate_loaded", "path=\"%s\"", s->options->tls_cert);
            accepted |= BIT_CERT | BIT_CERT_KEY;
        }
    }
    return accepted;
}

/* ---- its words ---- */

struct words {
    uint8_t packet[2];
    int fds[HANDOVER_N_SECRETS];
};

/* The descriptors are put where the bits of packet[1] say. */
static ssize_t receive(struct words *w)
{
    int came[HANDOVER_MAX_FDS];
    size_t n_came = 0, at = 0;
    ssize_t n = handover_receive(HANDOVER_SUPER, w->packet, came, &n_came);
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++) {
        bool here = n > 0 && (w->packet[1] & 1u << i) != 0 && at < n_came;
        w->fds[i] = here ? came[at++] : -1;
        if (!here)
            w->packet[1] &= (uint8_t) ~(1u << i);
    }
    while (at < n_came)
        (void)close(came[at++]);
    return n;
}

static void words_done(struct words *w)
{
    for (size_t i = 0; i < HANDOVER_N_SECRETS; i++)
        cleanup_fd(&w->fds[i]);
}

static void on_words(uv_poll_t *handle, int status, int events)
{
    struct service *s = CONTAINER_OF(handle, struct service, supervisor);
    CLEANUP(words_done) struct words w = {.fds = {-1, -1, -1}};
    (void)status;
    (void)events;
    ssize_t n = receive(&w);
    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n != sizeof(w.packet)) {
        log_event(LOG_ERROR, "supervisor_lost", "consequence=\"the service ends\"");
        _exit(1);
    }
    if (w.packet[0] == HANDOVER_WORD_RELOAD)
        say(HANDOVER_WORD_ACCEPTED, reload(s, w.packet[1], w.fds));
    else if (w.packet[0] == HANDOVER_WORD_UNLINKED)
        service_unlinked(s);
    else if (w.packet[0] == HANDOVER_WORD_LEAVE)
        service_leave(s);
}

int supervisor_open(struct service *s, struct err *err)
{
    int r = uv_poll_init(s->loop, &s->supervisor, HANDOVER_SUPER);
    if (r == 0)
        r = uv_poll_start(&s->supervisor, UV_READABLE, on_words);
    return r < 0 ? err_set_errno(err, ERR_INTERNAL, -r, "listen to the supervisor") : 0;
}

void supervisor_close(struct service *s)
{
    uv_close((uv_handle_t *)&s->supervisor, NULL);
}
