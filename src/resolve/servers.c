/* See servers.h. */
#include "resolve/servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"

#define PORT 53
#define FILE_MAX_BYTES 65536 /* chosen: an operator's file of a few lines */

int servers_add(struct servers *s, const char *text)
{
    struct server server = {0};

    if (s->n == ARRAY_SIZE(s->list))
        return -ENOSPC;
    if (inet_pton(AF_INET, text, &server.address.v4.sin_addr) == 1) {
        server.address.v4.sin_family = AF_INET;
        server.address.v4.sin_port = htons(PORT);
        server.size = sizeof(server.address.v4);
    } else if (inet_pton(AF_INET6, text, &server.address.v6.sin6_addr) == 1) {
        server.address.v6.sin6_family = AF_INET6;
        server.address.v6.sin6_port = htons(PORT);
        server.size = sizeof(server.address.v6);
    } else {
        return -EINVAL;
    }
    s->list[s->n++] = server;
    return 0;
}

void servers_read(struct servers *s, const char *path)
{
    CLEANUP_FREE char *text = NULL;
    size_t n;
    char *rest, word[64];

    s->path = path;
    if (stat(path, &s->seen) < 0)
        memset(&s->seen, 0, sizeof(s->seen));
    if (file_read(path, FILE_MAX_BYTES, &text, &n) == 0) {
        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
            if (sscanf(line, " nameserver %63s", word) == 1)
                (void)servers_add(s, word); /* one that is not understood is none */
    }
    if (s->n == 0)
        (void)servers_add(s, "127.0.0.1");
}

bool servers_changed(const struct servers *s)
{
    struct stat now;

    if (!s->path)
        return false;
    if (stat(s->path, &now) < 0)
        memset(&now, 0, sizeof(now));
    return now.st_dev != s->seen.st_dev || now.st_ino != s->seen.st_ino ||
           now.st_mtim.tv_sec != s->seen.st_mtim.tv_sec ||
           now.st_mtim.tv_nsec != s->seen.st_mtim.tv_nsec;
}
