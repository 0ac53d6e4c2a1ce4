/*
 * A source of a SandboxVolume that is cwsandbox's own: a directory of the machine that the service runs on. The messages have no
 * field for it, so it travels as one that they do not know: a string with a number far from those that the API may come to use. A
 * service that does not know it sees a volume without a source.
 */
#ifndef CWS_WIRE_HOST_DIRECTORY_H
#define CWS_WIRE_HOST_DIRECTORY_H

#include "wire/proto.h"

#define HOST_DIRECTORY_FIELD 1000
#define HOST_DIRECTORY_ROOM(path) (PROTO_VARINT_MAX + strlen(path))

/** host_directory_set() - @space and @room, of HOST_DIRECTORY_ROOM(path) bytes, are what @v holds afterwards. */
void host_directory_set(Pb__SandboxVolume *v, const char *path,
                        ProtobufCMessageUnknownField *space, uint8_t *room);
/** host_directory_get() - whether @v has such a source; its path is cut to @size - 1 bytes, and at a NUL. */
bool host_directory_get(const Pb__SandboxVolume *v, char *ret, size_t size);

#endif
