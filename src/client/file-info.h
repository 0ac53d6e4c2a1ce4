/*
 * Records of files as the service's own words print them (base/files-words.h), as the public array.
 *
 * file-info-parse.c: bytes to structs. file-info.c: the result of an operation.
 */
#ifndef CWS_CLIENT_FILE_INFO_H
#define CWS_CLIENT_FILE_INFO_H

#include "base/buf.h"
#include "cwsandbox.h"

struct op_result;

/** file_infos_parse() - an array whose strings point into @text, which must end with NUL unless it is empty. 0 with *@ret (owned,
 * NULL when there are none), -EBADMSG, -ENOMEM. */
int file_infos_parse(const char *text, size_t n, cws_file_info **ret, size_t *ret_n);
/** op_result_files() - empties @take_text; the result may be an error. */
struct op_result op_result_files(struct buf *take_text);

#endif
