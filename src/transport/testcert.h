/*
 * For tests: certificates made on the spot with the OpenSSL library, as PEM files in a
 * temporary directory.
 */
#ifndef CWS_TRANSPORT_TESTCERT_H
#define CWS_TRANSPORT_TESTCERT_H

#include "base/macros.h"

/** testcert_make() - <dir>/<name>-ca.pem, and <name>.pem + <name>.key signed by it for
 * @alt_names ("DNS:x,IP:y"). */
void testcert_make(const char *dir, const char *name, const char *alt_names);

#endif
