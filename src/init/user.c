/*
 * An exec as another user of the sandbox: [child] from "NAME|UID[:GROUP|GID]" to ids, by the sandbox's own /etc/passwd and
 * /etc/group. Whoever is root in there wrote these files, so nothing of them is believed but which numbers of the
 * sandbox's own ids a name means, and the child that reads them is a copy of init (spawn_fork()).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "init/init.h"

#define FILE_MAX (256 * 1024) /* chosen: some thousand users; more is -EFBIG */
#define GROUPS_MAX 64         /* chosen: of one user; the rest is left out */
#define HOME_MAX 1024         /* chosen; a longer one is "/" */
#define FIELDS_MAX 7          /* passwd(5) */

struct identity {
    uint32_t uid, gid, groups[GROUPS_MAX];
    size_t n_groups;
    const char *name; /* of passwd(5); NULL: the uid has no entry */
    const char *home;
};

/* Unsigned, decimal, all of @text. */
static bool parse_id(const char *text, uint32_t *ret)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value >= UINT32_MAX)
            return false; /* -1 means "leave it" to the kernel */
    }
    *ret = (uint32_t)value;
    return true;
}

/* A file of the sandbox as a string. No FIFO and no lease may keep the open waiting. -ENOENT: it has none. */
static int read_file(const char *path, char text[static FILE_MAX + 1])
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                           .resolve = RESOLVE_NO_MAGICLINKS};
    struct stat st;
    size_t used = 0;
    ssize_t n = 1;
    int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        n = -EINVAL;
    while (n > 0 && used < FILE_MAX + 1) {
        n = read(fd, text + used, FILE_MAX + 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    (void)close(fd);
    if (n < 0)
        return -EINVAL;
    if (used > FILE_MAX)
        return -EFBIG;
    text[used] = 0;
    return 0;
}

/* The next line, cut into its fields; NULL at the end. Fields that are not there are "". */
static char *next_line(char *at, char *fields[static FIELDS_MAX])
{
    char *end;

    if (!*at)
        return NULL;
    end = at + strcspn(at, "\n");
    if (*end)
        *end++ = 0;
    for (size_t i = 0; i < FIELDS_MAX; i++) {
        fields[i] = at;
        at += strcspn(at, ":");
        if (*at)
            *at++ = 0;
    }
    return end;
}

/* A name wins over the same text as a number (as chown(1) has it). */
static int find_user(char *text, const char *wanted, struct identity *ret)
{
    char *fields[FIELDS_MAX];
    uint32_t number = UINT32_MAX;
    bool numeric = parse_id(wanted, &number), by_number = false;

    for (char *at = text; (at = next_line(at, fields));) {
        uint32_t uid, gid;
        bool by_name = strcmp(fields[0], wanted) == 0;

        if (!fields[0][0] || !parse_id(fields[2], &uid) || !parse_id(fields[3], &gid))
            continue;
        if (!by_name && (by_number || !numeric || uid != number))
            continue;
        ret->uid = uid;
        ret->gid = gid;
        ret->name = fields[0];
        ret->home = fields[5];
        if (by_name)
            return 0;
        by_number = true;
    }
    if (by_number)
        return 0;
    if (!numeric)
        return -ENOENT;
    ret->uid = ret->gid = number; /* nobody's group but his own */
    return 0;
}

static int find_group(char *text, const char *wanted, uint32_t *ret)
{
    char *fields[FIELDS_MAX];

    for (char *at = text; (at = next_line(at, fields));) {
        if (fields[0][0] && strcmp(fields[0], wanted) == 0 && parse_id(fields[2], ret))
            return 0;
    }
    return parse_id(wanted, ret) ? 0 : -ENOENT;
}

static bool is_member(char *members, const char *name)
{
    size_t len = strlen(name);

    for (char *at = members; *at; at += *at == ',') {
        size_t n = strcspn(at, ",");

        if (n == len && memcmp(at, name, n) == 0)
            return true;
        at += n;
    }
    return false;
}

static void find_memberships(char *text, struct identity *who)
{
    char *fields[FIELDS_MAX];

    for (char *at = text; who->name && (at = next_line(at, fields));) {
        uint32_t gid;

        if (who->n_groups < GROUPS_MAX && is_member(fields[3], who->name) &&
            parse_id(fields[2], &gid))
            who->groups[who->n_groups++] = gid;
    }
}

/* @user is cut at its colon. */
static int look_up(struct spawn *s, char *user, struct identity *ret)
{
    static char users[FILE_MAX + 1], groups[FILE_MAX + 1]; /* too large for a stack */
    char *group = strchr(user, ':');
    int r;

    if (group)
        *group++ = 0;
    s->stage = "user";
    r = read_file("/etc/passwd", users);
    if (r == 0 || r == -ENOENT)
        r = find_user(users, user, ret);
    if (r < 0)
        return r;
    s->stage = "group";
    r = read_file("/etc/group", groups);
    if (r < 0 && r != -ENOENT)
        return r;
    if (group)
        return find_group(groups, group, &ret->gid);
    find_memberships(groups, ret);
    return 0;
}

static int drop_caps(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {0};

    return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

/* The system calls: glibc's wrappers want to tell other threads, of which there are none. */
static int become(const struct identity *who)
{
    uid_t uids[3];
    gid_t gids[3];
    int r;

    if (syscall(SYS_setgroups, who->n_groups, who->groups) < 0 ||
        syscall(SYS_setresgid, who->gid, who->gid, who->gid) < 0 ||
        syscall(SYS_setresuid, who->uid, who->uid, who->uid) < 0)
        return -errno;
    r = who->uid != 0 ? drop_caps() : 0;
    if (r < 0)
        return r;
    /* The kernel has made us dumpable again, if the machine's fs.suid_dumpable says so. */
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return -errno;
    CHECK(getresuid(&uids[0], &uids[1], &uids[2]) == 0);
    CHECK(getresgid(&gids[0], &gids[1], &gids[2]) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(uids[i] == who->uid && gids[i] == who->gid);
    return 0;
}

/* HOME of passwd(5), unless the caller has set one; exec.c left room for it. */
static void set_home(struct spawn *s, const char *home)
{
    static char text[sizeof("HOME=") + HOME_MAX];
    char **at = s->envp;

    for (; *at; at++) {
        if (strncmp(*at, "HOME=", 5) == 0)
            return;
    }
    if (!home || home[0] != '/' || strlen(home) > HOME_MAX)
        home = "/";
    (void)snprintf(text, sizeof(text), "HOME=%s", home);
    at[0] = text;
    at[1] = NULL;
}

int user_become(struct spawn *s)
{
    struct identity who = {0};
    int r = look_up(s, s->user, &who);

    if (r < 0)
        return r;
    s->stage = "setuid";
    set_home(s, who.home);
    if (who.uid == 0 && who.gid == 0)
        return 0; /* what everybody is, with no other groups */
    if (s->tty)
        (void)fchown(0, who.uid, (gid_t)-1); /* else /dev/pts/N cannot be opened by name */
    return become(&who);
}
