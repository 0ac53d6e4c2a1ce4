/* A question, and the answer to it, of strangers. */
#include <string.h>

#include "resolve/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct question question;
    size_t n = size > 0 ? MIN((size_t)data[0] * 4, size - 1) : 0;
    uint8_t *query = malloc(n + 1), *answer = malloc(size + 1);

    if (query && answer && size > 0) {
        memcpy(query, data + 1, n);
        memcpy(answer, data + 1 + n, size - 1 - n);
        if (message_question(query, n, &question) == 0) {
            CHECK(question.end <= n && strlen(question.name) < sizeof(question.name));
            uint32_t addresses[4];
            if (message_answers(answer, size - 1 - n, query, &question))
                CHECK(message_addresses(answer, size - 1 - n, &question, 60, addresses, 4) <=
                      4);
            CHECK(message_refuse(query, &question, MESSAGE_REFUSED) <= n);
            CHECK(message_answers(query, question.end, query, &question));
        }
    }
    free(query);
    free(answer);
    return 0;
}
