/*
 * Quantities as the API writes them: '500m', '1.5', '512Mi', '1G', '1e3'. Exact integer
 * arithmetic, rounded up. Source: the published client, Kubernetes resource.Quantity
 * (where it comes from).
 */
#ifndef CWS_SERVER_QUANTITY_H
#define CWS_SERVER_QUANTITY_H

#include "base/macros.h"

/**
 * quantity_parse() - @text times @scale, rounded up
 * @scale: 1 for bytes, 1000 for millicores
 * Return: 0, -EINVAL (not a quantity), -ERANGE (more than UINT64_MAX / 2).
 */
int quantity_parse(const char *text, uint32_t scale, uint64_t *ret);

#endif
