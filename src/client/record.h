/*
 * cws_record: one message of the wire as a tree of named values, for everything that has no
 * setter of its own. A record *is* a generated message, and its descriptor is the table of field
 * names and kinds: whatever the .proto files know can be set and read, without code for it.
 */
#ifndef CWS_CLIENT_RECORD_H
#define CWS_CLIENT_RECORD_H

#include "client/error.h"
#include "wire/proto.h"

/** record_new() - an empty message of @desc; NULL: out of memory. */
cws_record *record_new(const ProtobufCMessageDescriptor *desc);
/** record_done() - free what record_new() or proto_unpack() made, and unset it. */
void record_done(cws_record **r);
/** record_message() - the same as the generated type. */
static inline void *record_message(const cws_record *r)
{
    return (void *)r;
}

#endif
