/* See file-info.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/files-words.h"
#include "client/file-info.h"

/* A number and the blank behind it. */
static bool take_number(const char **at, int base, uint64_t max, uint64_t *ret)
{
    char *end;

    if (**at < '0' || **at > '9')
        return false;
    errno = 0;
    *ret = strtoull(*at, &end, base);
    if (errno || *end != ' ' || *ret > max)
        return false;
    *at = end + 1;
    return true;
}

static bool take_time(const char **at, int64_t *ret_s)
{
    bool before = **at == '-'; /* 1970 */
    uint64_t s;

    *at += before;
    if (!take_number(at, 10, INT64_MAX, &s))
        return false;
    *ret_s = before ? -(int64_t)s : (int64_t)s;
    return true;
}

static bool parse_record(const char *at, cws_file_info *ret)
{
    const char *kind = *at ? strchr(FILES_KINDS, *at) : NULL;
    uint64_t mode, uid, gid, ns;

    if (!kind || at[1] != ' ')
        return false;
    at += 2;
    if (!take_number(&at, 8, 07777, &mode) || !take_number(&at, 10, UINT32_MAX, &uid) ||
        !take_number(&at, 10, UINT32_MAX, &gid) ||
        !take_number(&at, 10, INT64_MAX, &ret->size_bytes) || !take_time(&at, &ret->mtime_s) ||
        !take_number(&at, 10, 999999999, &ns) || !*at)
        return false;
    ret->kind = (cws_file_kind)(kind - FILES_KINDS);
    ret->mode_bits = (uint32_t)mode;
    ret->uid = (uint32_t)uid;
    ret->gid = (uint32_t)gid;
    ret->mtime_ns = (uint32_t)ns;
    ret->name = at;
    return true;
}

int file_infos_parse(const char *text, size_t n, cws_file_info **ret, size_t *ret_n)
{
    size_t n_strings = 0, i = 0;

    *ret = NULL;
    *ret_n = 0;
    for (size_t at = 0; at < n; at++)
        n_strings += text[at] == 0;
    if (n == 0)
        return 0;
    if (text[n - 1] != 0 || n_strings % 2 != 0)
        return -EBADMSG;
    cws_file_info *all = calloc(n_strings / 2, sizeof(*all));
    if (!all)
        return -ENOMEM;
    for (const char *at = text; i < n_strings / 2; i++) {
        if (!parse_record(at, &all[i])) {
            free(all);
            return -EBADMSG;
        }
        at += strlen(at) + 1;
        all[i].target = all[i].kind == CWS_FILE_LINK ? at : NULL;
        at += strlen(at) + 1;
    }
    *ret = all;
    *ret_n = i;
    return 0;
}
