/* What was sent of a log, so that a later call can go on; see log-stream.h. */
#include <string.h>

#include "base/util.h"
#include "runtime/log-stream.h"

static void session_free(struct log_session *s)
{
    list_remove(&s->link);
    free(s->marks);
    free(s);
}

void log_sessions_free(struct sandbox *sb)
{
    LIST_FOREACH_SAFE(it, &sb->log_sessions)
    session_free(CONTAINER_OF(it, struct log_session, link));
}

/* No timer: sessions cost a few hundred bytes and are looked at only when another one is made.
 */
static void expire(struct sandbox *sb)
{
    uint64_t now = clock_now_ns();
    size_t n = 0;
    LIST_FOREACH(it, &sb->log_sessions)
    n++;
    LIST_FOREACH_SAFE(it, &sb->log_sessions)
    {
        struct log_session *s = CONTAINER_OF(it, struct log_session, link);
        if (s->in_use || (s->expire_ns > now && n < LOG_MAX_SESSIONS))
            continue;
        session_free(s);
        n--;
    }
}

struct log_session *log_session_new(struct sandbox *sb, bool timestamps)
{
    expire(sb);
    struct log_session *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    random_uuid(s->id);
    s->timestamps = timestamps;
    s->in_use = true;
    list_append(&sb->log_sessions, &s->link);
    return s;
}

struct log_session *log_session_clone(struct sandbox *sb, const struct log_session *from)
{
    struct log_session *s = log_session_new(sb, from->timestamps);
    if (!s || from->n_marks == 0)
        return s;
    s->marks = malloc(from->n_marks * sizeof(*s->marks));
    if (!s->marks) {
        session_free(s);
        return NULL;
    }
    memcpy(s->marks, from->marks, from->n_marks * sizeof(*s->marks));
    s->n_marks = s->cap_marks = from->n_marks;
    s->sent = from->sent;
    return s;
}

struct log_session *log_session_find(struct sandbox *sb, const char *id)
{
    expire(sb);
    LIST_FOREACH(it, &sb->log_sessions)
    {
        struct log_session *s = CONTAINER_OF(it, struct log_session, link);
        if (strcmp(s->id, id) == 0)
            return s;
    }
    return NULL;
}

void log_session_release(struct sandbox *sb, struct log_session *s)
{
    s->in_use = false;
    s->expire_ns = clock_now_ns() + LOG_SESSION_NS;
    list_remove(&s->link);
    list_append(&sb->log_sessions, &s->link);
}

static void thin_out(struct log_session *s)
{
    size_t to = 1; /* the first stays: every offset must have a mark before it */
    for (size_t i = 2; i < s->n_marks; i += 2)
        s->marks[to++] = s->marks[i];
    s->n_marks = to;
}

void log_session_mark(struct log_session *s, const struct log_mark *mark, bool jump)
{
    uint64_t last = s->n_marks > 0 ? s->marks[s->n_marks - 1].sent : 0;
    if (s->n_marks > 0 && last >= mark->sent)
        return; /* a resumed stream passes old marks again */
    if (s->n_marks > 1 && mark->sent - last < LOG_CHUNK && !jump)
        return;
    if (jump)
        s->n_marks = 0; /* nothing before can be rendered again */
    if (s->n_marks == LOG_MAX_MARKS)
        thin_out(s);
    if (s->n_marks == s->cap_marks) {
        size_t cap = s->cap_marks ? s->cap_marks * 2 : 2;
        struct log_mark *grown = realloc(s->marks, cap * sizeof(*grown));
        if (!grown)
            return; /* resuming costs more re-reading */
        s->marks = grown;
        s->cap_marks = cap;
    }
    s->marks[s->n_marks++] = *mark;
}

const struct log_mark *log_session_seek(const struct log_session *s, uint64_t sent)
{
    const struct log_mark *best = NULL;
    if (sent > s->sent)
        return NULL;
    for (size_t i = 0; i < s->n_marks && s->marks[i].sent <= sent; i++)
        best = &s->marks[i];
    return best;
}
