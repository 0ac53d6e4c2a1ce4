/*
 * The driver of cells behind which stands cwsandbox-launch: sends requests over a socket that was handed to us, matches
 * answers by their number, passes events on. Lost when launch ends, or says something that is no message.
 */
#ifndef CWS_RUNTIME_LAUNCHER_H
#define CWS_RUNTIME_LAUNCHER_H

#include "runtime/cell-driver.h"

#define LAUNCHER_HELLO_MS \
    60000 /* chosen: launch probes the kernel before it answers; normally 30 ms, on a busy translated machine over 20 s */

/** launcher_open() - blocks until launch said HELLO. FAILED_PRECONDITION when it did not. */
int launcher_open(int take_socket, struct launch_features *ret_features,
                  struct cell_driver **ret, struct err *err);

#endif
