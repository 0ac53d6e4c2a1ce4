/*
 * From an image to a cell: at once where the image is there, else PREPARING until somebody has brought it.
 *
 *   #1 prepare_new(): an id, a record    #2 prepare_begin(): runtime_config.get_image()
 *   #3 it is there: the plan gets the image's words, the record is written once more, a cell -> PENDING
 *
 * The end of the sandbox before #3 is prepare_end(), whoever ends it.
 */
#ifndef CWS_RUNTIME_PREPARE_H
#define CWS_RUNTIME_PREPARE_H

#include "base/err.h"

struct runtime_image;
struct sandbox;
struct sandbox_spec;

/** sandbox_get_cell() - of what @image is; its id is the sandbox's, or becomes it. RESOURCE_EXHAUSTED. */
int sandbox_get_cell(struct sandbox *sb, const struct runtime_image *image, struct err *err);
/** prepare_new() - @sb, which is new, waits for its image. RESOURCE_EXHAUSTED. */
int prepare_new(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err);
void prepare_begin(struct sandbox *sb);
/** prepare_end() - the image is not needed any more, or is there. Harmless when none was awaited. */
void prepare_end(struct sandbox *sb);

#endif
