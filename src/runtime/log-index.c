/* Arrival times of a log's bytes; see log-index.h. */
#include "runtime/log-index.h"

/* Index of the first note whose end is above @offset. */
static size_t find(const struct log_index *ix, uint64_t offset)
{
    size_t low = 0, high = ix->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ix->notes[middle].end > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void thin_out(struct log_index *ix)
{
    size_t to = 0;
    for (size_t i = 1; i < ix->n;
         i += 2) /* the later of each pair: a byte never seems older than it is */
        ix->notes[to++] = ix->notes[i];
    ix->n = to;
}

void log_index_add(struct log_index *ix, uint64_t end, uint64_t wall_ns)
{
    while (ix->n > 0 && ix->notes[ix->n - 1].end > end)
        ix->n--; /* cut: what lay behind is gone */
    if (end == 0 || (ix->n > 0 && ix->notes[ix->n - 1].end == end))
        return;
    if (ix->n == LOG_INDEX_MAX)
        thin_out(ix);
    if (ix->n == ix->cap) {
        size_t cap = ix->cap ? ix->cap * 2 : 4;
        struct log_note *grown = realloc(ix->notes, cap * sizeof(*grown));
        if (!grown)
            return; /* these bytes take the time of the next note */
        ix->notes = grown;
        ix->cap = cap;
    }
    ix->notes[ix->n++] = (struct log_note){end, wall_ns};
}

uint64_t log_index_time(const struct log_index *ix, uint64_t offset, uint64_t now_ns)
{
    size_t i = find(ix, offset);
    return i < ix->n ? ix->notes[i].wall_ns : now_ns;
}

uint64_t log_index_since(const struct log_index *ix, uint64_t wall_ns)
{
    for (size_t i = 0; i < ix->n; i++)
        if (ix->notes[i].wall_ns >= wall_ns)
            return i == 0 ? 0 : ix->notes[i - 1].end;
    return UINT64_MAX;
}

void log_index_done(struct log_index *ix)
{
    free(ix->notes);
    *ix = (struct log_index){0};
}
