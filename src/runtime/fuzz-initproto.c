/* Fuzz target: packets from init, which is inside the sandbox. What passes must be safe to
 * print and to dispatch on. */
#include <string.h>

#include "runtime/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct init_packet packet;

    if (control_check_packet(data, n, &packet) < 0)
        return 0;
    CHECK(packet.type >= INIT_STARTED && packet.type < INIT_TYPE_MAX);
    CHECK(strnlen(packet.stage, sizeof(packet.stage)) < sizeof(packet.stage));
    return 0;
}
