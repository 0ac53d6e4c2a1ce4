/* Tests write archives by hand, also such as no program would. */
#ifndef CWS_IMAGE_TESTTAR_H
#define CWS_IMAGE_TESTTAR_H

#include "base/buf.h"
#include "image/source.h"

/** testtar_entry() - header, content and padding; @type as in the format, @link may be "". */
void testtar_entry(struct buf *b, char type, const char *name, const char *link,
                   const char *content);
/** testtar_pax() - an extended header of type 'x' with one record. */
void testtar_pax(struct buf *b, const char *keyword, const char *value);
/** testtar_end() - the two blocks at the end. */
void testtar_end(struct buf *b);

struct buf_source {
    struct source source;
    struct buf *b; /* consumed */
};
void buf_source_init(struct buf_source *s, struct buf *b);

#endif
