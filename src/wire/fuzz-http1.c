/* Both heads and both bodies of what comes: a head has its parts inside the bytes, a body never takes more than there is. */
#include <stdlib.h>

#include "wire/http1.h"

static void read_body(const struct http_head *head, const char *data, size_t n)
{
    struct http_body body;
    struct http_text part;
    http_body_init(&body, head);
    while (n > 0 && !body.done) {
        ssize_t r = http_body_next(&body, data, n, &part);
        if (r < 0)
            return;
        if (r == 0 || (size_t)r > n || part.n > (size_t)r)
            abort();
        data += r;
        n -= (size_t)r;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct http_head head;
    const char *text = (const char *)data;
    ssize_t r = http_parse_request(text, n, &head);
    if (r > 0)
        read_body(&head, text + r, n - (size_t)r);
    r = http_parse_answer(text, n, (struct http_text){"GET", 3}, &head);
    if (r > 0)
        read_body(&head, text + r, n - (size_t)r);
    return 0;
}
