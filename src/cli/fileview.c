/* See fileview.h. */
#include "cli/fileview.h"

#include <inttypes.h>

#define TYPE_LETTERS "-dlpscb" /* by cws_file_kind, as ls(1) */

static const char *const kind_names[] = {"file",   "directory",        "link",        "fifo",
                                         "socket", "character_device", "block_device"};

/* "-rwxr-xr-x", with the set-id and sticky bits where ls(1) has them. */
static void mode_text(const cws_file_info *info, char ret[static 11])
{
    uint32_t mode = info->mode_bits;
    ret[0] = TYPE_LETTERS[info->kind];
    for (int i = 0; i < 9; i++)
        ret[1 + i] = mode & (0400u >> i) ? "rwx"[i % 3] : '-';
    if (mode & 04000)
        ret[3] = mode & 0100 ? 's' : 'S';
    if (mode & 02000)
        ret[6] = mode & 0010 ? 's' : 'S';
    if (mode & 01000)
        ret[9] = mode & 0001 ? 't' : 'T';
    ret[10] = '\0';
}

/* Times before 1970 are none here. */
static uint64_t wall_ns(const cws_file_info *info)
{
    bool fits = info->mtime_s > 0 && (uint64_t)info->mtime_s < UINT64_MAX / NS_PER_SEC;
    return fits ? (uint64_t)info->mtime_s * NS_PER_SEC + info->mtime_ns : 0;
}

void fileview_row(const cws_file_info *info)
{
    char mode[11];
    CLEANUP_FREE char *time = time_human(wall_ns(info));
    mode_text(info, mode);
    (void)printf("%s %5" PRIu32 " %5" PRIu32 " %12" PRIu64 "  %s  ", mode, info->uid, info->gid,
                 info->size_bytes, or_dash(time));
    print_plain(stdout, info->name);
    if (info->target) {
        (void)fputs(" -> ", stdout);
        print_plain(stdout, info->target);
    }
    (void)putchar('\n');
}

void fileview_json(const cws_file_info *info, struct json *j)
{
    CLEANUP_FREE char *time = time_iso(wall_ns(info));
    CLEANUP_FREE char *mode = text_printf("%04o", info->mode_bits);
    json_begin(j, NULL, '{');
    json_text(j, "name", info->name);
    json_text(j, "kind", kind_names[info->kind]);
    json_text(j, "mode", mode);
    json_int(j, "uid", info->uid);
    json_int(j, "gid", info->gid);
    json_int(j, "size", (int64_t)info->size_bytes);
    json_text(j, "modified_at", time);
    json_text(j, "target", info->target);
    json_end(j, '}');
}
