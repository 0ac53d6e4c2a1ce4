/* See shellquote.h. */
#include "client/shellquote.h"

#include <string.h>

#include "base/buf.h"
#include "base/util.h"

/* Words of these need no quotes: the set of Python's shlex.quote. */
static bool is_plain(const char *word)
{
    static const char safe[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
    return *word && word[strspn(word, safe)] == '\0';
}

static int put_quoted(struct buf *out, const char *word)
{
    if (is_plain(word))
        return buf_put_str(out, word);
    int r = buf_put_str(out, "'");
    for (const char *p = word; *p && r == 0;) {
        size_t n = strcspn(p, "'");
        r = buf_put(out, p, n);
        p += n;
        if (*p && r == 0) {
            r = buf_put_str(out, "'\"'\"'"); /* end, a quoted quote, begin again */
            p++;
        }
    }
    return r < 0 ? r : buf_put_str(out, "'");
}

char *shell_quote_join(char *const *argv, size_t n)
{
    CLEANUP_BUF struct buf out = {0};
    for (size_t i = 0; i < n; i++)
        if ((i > 0 && buf_put_str(&out, " ") < 0) || put_quoted(&out, argv[i]) < 0)
            return NULL;
    if (buf_put(&out, "", 1) < 0)
        return NULL;
    size_t len;
    return (char *)buf_take(&out, &len);
}

char *shell_cd(const char *cwd, char *const *argv, size_t n)
{
    CLEANUP_FREE char *words = shell_quote_join(argv, n);
    CLEANUP_FREE char *dir = shell_quote_join(&(char *){(char *)cwd}, 1);
    return words && dir ? str_dup_printf("cd %s && exec %s", dir, words) : NULL;
}
