/* What of a network a sandbox may reach. Numbers in the machine's byte order. */
#ifndef CWS_PRIVPROTO_GRANT_H
#define CWS_PRIVPROTO_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#define LAUNCH_MAX_GRANTS 256 /* chosen: 16 rules with a dozen exceptions each */

/* A box. Those of one sandbox do not overlap. All ends belong to it; no padding, because it travels as it lies in memory. */
struct launch_grant {
    uint32_t first, last; /* IPv4 addresses */
    uint16_t first_protocol, last_protocol, first_port, last_port;
};

/* Of the names that may be asked for: lines, each ended by '\n', of an exact name or `*.` and a name, for one label before it; in
 * lower case. The line "*": every name may be asked for, and grants nothing by that. */
#define LAUNCH_MAX_NAMES 16384 /* with NUL; chosen: 64 rules of the longest name */
/** launchproto_names_valid() - @names are of that kind. */
bool launchproto_names_valid(const char *names);

#endif
