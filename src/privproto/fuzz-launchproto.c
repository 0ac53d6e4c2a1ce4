/* Fuzz target: what decode() accepts, encode() must reproduce byte for byte; of a HELLO of another version only the number is read. */
#include <string.h>

#include "privproto/launchproto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct launch_message msg;
    static uint8_t again[LAUNCH_MAX_PACKET];

    if (launchproto_decode(data, n, &msg) < 0)
        return 0;
    if (msg.type == LAUNCH_HELLO &&
        (msg.answer ? msg.u.features.version : msg.u.version) != LAUNCH_VERSION)
        return 0;
    CHECK(launchproto_encode(&msg, again, sizeof(again)) == (ssize_t)n);
    CHECK(memcmp(again, data, n) == 0);
    return 0;
}
