/* What of a service is left in the file system: socket files, the data directory of an embedded one. */
#ifndef CWS_LAUNCH_LISTENERS_H
#define CWS_LAUNCH_LISTENERS_H

#include "launch/launch.h"

/** listeners_close() - remove the socket files, then close our copies of the listening sockets; once. */
void listeners_close(const struct options *options);
/** socket_files_remove() - those of @from that @besides does not have. */
void socket_files_remove(const struct options *from, const struct options *besides);
/** data_remove() - the data directory @path, open as @fd, unless something was kept in it. While its lock is held. */
void data_remove(int fd, const char *path);

#endif
