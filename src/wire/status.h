/*
 * Statuses on the wire: grpc-status, percent-encoded grpc-message, grpc-status-details-bin (google.rpc.Status with
 * ErrorInfo, BadRequest, RetryInfo), grpc-timeout. Decoders accept anything and never fail loudly: a malformed part is
 * ignored, as in the published client. The details messages are small and fixed, but still go through generated code.
 */
#ifndef CWS_WIRE_STATUS_H
#define CWS_WIRE_STATUS_H

#include "base/buf.h"
#include "base/err.h"

#define STATUS_DOMAIN "cwsandbox.com"

/** status_encode_details() - serialized google.rpc.Status for @err, or empty when there is nothing beyond code+message. */
int status_encode_details(const struct err *err, struct buf *out);
/** status_decode_details() - fill reason, domain, metadata, violations, retry delay of @err from serialized bytes. */
void status_decode_details(const uint8_t *data, size_t n, struct err *err);
/** status_percent_encode() / status_percent_decode() - grpc-message (PROTOCOL-HTTP2.md "Percent-Byte"). */
int status_percent_encode(const char *text, struct buf *out);
int status_percent_decode(const char *text, struct buf *out);
/** status_format_timeout() - at most 8 digits and a unit, rounded up; 0 -> "1n". @out holds 16 bytes. */
void status_format_timeout(uint64_t timeout_ns, char out[static 16]);
/** status_parse_timeout() - 0 or -EINVAL. Saturates. */
int status_parse_timeout(const char *text, uint64_t *ret_ns);
/** status_from_http() - gRPC code for an HTTP status without grpc-status (http-grpc-status-mapping.md). */
enum err_code status_from_http(int http_status);
/** status_from_h2_error() - gRPC code for a RST_STREAM error code (PROTOCOL-HTTP2.md "Errors"). */
enum err_code status_from_h2_error(uint32_t h2_error);
/** base64: standard alphabet; encode without padding, decode with or without. */
int base64_encode(const void *data, size_t n, struct buf *out);
int base64_decode(const char *text, size_t n, struct buf *out);

#endif
