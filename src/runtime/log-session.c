/* What was sent of a log, so that a later call can go on; see log-stream.h. */
#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "runtime/log-stream.h"

#define UUID_LEN 36

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

static void put_name(struct log_session *s)
{
    const struct log_mark *first = &s->marks[0];
    (void)snprintf(s->id + UUID_LEN, sizeof(s->id) - UUID_LEN, ".%c%c.%" PRIx64 ".%" PRIx64,
                   s->timestamps ? 't' : 'p', first->line_start ? 'l' : 'm', first->sent,
                   first->position);
}

/* The other way round; the rest of the name, whatever its first part. */
static bool read_name(const char *text, bool *ret_timestamps, struct log_mark *ret)
{
    char times, start, again[LOG_SESSION_NAME];
    int n = 0;
    *ret = (struct log_mark){0};
    if (sscanf(text, ".%c%c.%" SCNx64 ".%" SCNx64 "%n", &times, &start, &ret->sent,
               &ret->position, &n) != 4 ||
        text[n] != '\0' || (times != 't' && times != 'p') || (start != 'l' && start != 'm'))
        return false;
    /* Only as we write it: scanf takes signs and blanks, too. */
    (void)snprintf(again, sizeof(again), ".%c%c.%" PRIx64 ".%" PRIx64, times, start, ret->sent,
                   ret->position);
    *ret_timestamps = times == 't';
    ret->line_start = start == 'l';
    return strcmp(again, text) == 0;
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
    put_name(s);
    return s;
}

static struct log_session *restore(struct sandbox *sb, const char *id, uint64_t sent)
{
    struct log_mark first;
    bool timestamps;
    if (strlen(id) >= LOG_SESSION_NAME || !read_name(id + UUID_LEN, &timestamps, &first) ||
        (sb->log && first.position > sb->log->size))
        return NULL;
    /* Without times what was sent is what is in the file. */
    if (sb->log && !timestamps && sent >= first.sent &&
        sent - first.sent > sb->log->size - first.position)
        return NULL;
    struct log_session *s = log_session_new(sb, timestamps);
    if (!s)
        return NULL;
    (void)snprintf(s->id, sizeof(s->id), "%s", id);
    s->sent = sent;
    s->in_use = false;
    s->marks = malloc(sizeof(*s->marks));
    if (!s->marks) {
        session_free(s);
        return NULL;
    }
    s->marks[0] = first;
    s->n_marks = s->cap_marks = 1;
    return s;
}

struct log_session *log_session_find(struct sandbox *sb, const char *id, uint64_t sent)
{
    if (strlen(id) < UUID_LEN)
        return NULL;
    expire(sb);
    LIST_FOREACH(it, &sb->log_sessions)
    {
        struct log_session *s = CONTAINER_OF(it, struct log_session, link);
        if (strncmp(s->id, id, UUID_LEN) == 0)
            return s;
    }
    return restore(sb, id, sent);
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
    if (s->n_marks == 1)
        put_name(s);
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
