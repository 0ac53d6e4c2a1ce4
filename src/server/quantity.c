/*
 * Quantity parsing: a decimal mantissa, then either a suffix or an exponent. See quantity.h.
 */
#include "server/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

/* 18 digits keep mantissa * 1024^6 * 1000 out of reach of an overflow check that could itself
 * overflow. */
#define MAX_DIGITS 18
#define MAX_EXPONENT 30

typedef unsigned __int128 wide;
#define WIDE_LIMIT ((wide)1 << 100)

struct suffix {
    const char *text;
    uint64_t factor; /* 0 = milli */
};

static const struct suffix suffixes[] = {
    {"", 1},
    {"m", 0},
    {"k", 1000},
    {"M", 1000000},
    {"G", 1000000000},
    {"T", 1000000000000},
    {"P", 1000000000000000},
    {"E", 1000000000000000000},
    {"Ki", 1ULL << 10},
    {"Mi", 1ULL << 20},
    {"Gi", 1ULL << 30},
    {"Ti", 1ULL << 40},
    {"Pi", 1ULL << 50},
    {"Ei", 1ULL << 60},
};

/* The mantissa without its point; @ret_exp10 is minus the number of digits after the point. */
static int parse_mantissa(const char **p, uint64_t *ret, int *ret_exp10)
{
    uint64_t value = 0;
    int n_digits = 0, n_fraction = 0;
    bool point = false, any = false;
    for (;; (*p)++) {
        if (**p == '.' && !point) {
            point = true;
            continue;
        }
        if (!isdigit((unsigned char)**p))
            break;
        any = true;
        if (n_digits == 0 && **p == '0' && !point)
            continue; /* leading zeros cost nothing */
        if (++n_digits > MAX_DIGITS)
            return -ERANGE;
        value = value * 10 + (uint64_t)(**p - '0');
        n_fraction += point;
    }
    if (!any)
        return -EINVAL;
    *ret = value;
    *ret_exp10 = -n_fraction;
    return 0;
}

/* What follows the mantissa: suffix, exponent, or nothing; then only blanks. */
static int parse_tail(const char *p, uint64_t *ret_factor, int *exp10)
{
    size_t n = strlen(p);
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (strlen(suffixes[i].text) != n || memcmp(suffixes[i].text, p, n) != 0)
            continue;
        *ret_factor = suffixes[i].factor != 0 ? suffixes[i].factor : 1;
        *exp10 -= suffixes[i].factor == 0 ? 3 : 0;
        return 0;
    }
    if (n < 2 || (*p != 'e' && *p != 'E'))
        return -EINVAL;
    bool negative = p[1] == '-';
    size_t i = p[1] == '-' || p[1] == '+' ? 2 : 1;
    if (i == n)
        return -EINVAL;
    int exponent = 0;
    for (; i < n; i++) {
        if (!isdigit((unsigned char)p[i]))
            return -EINVAL;
        exponent = exponent * 10 + (p[i] - '0');
        if (exponent > MAX_EXPONENT)
            return -ERANGE;
    }
    *exp10 += negative ? -exponent : exponent;
    *ret_factor = 1;
    return 0;
}

int quantity_parse(const char *text, uint32_t scale, uint64_t *ret)
{
    while (isspace((unsigned char)*text))
        text++;
    uint64_t mantissa, factor;
    int exp10;
    int r = parse_mantissa(&text, &mantissa, &exp10);
    if (r == 0)
        r = parse_tail(text, &factor, &exp10);
    if (r < 0)
        return r;

    wide value = (wide)mantissa * scale;
    for (uint64_t left = factor; left > 1;) {
        /* Factors are powers of 2 or of 10: either step divides exactly. */
        uint64_t step = left % 10 == 0 ? 10 : 2;
        if (value > WIDE_LIMIT)
            return -ERANGE;
        value *= step;
        left /= step;
    }
    for (; exp10 > 0; exp10--) {
        if (value > WIDE_LIMIT)
            return -ERANGE;
        value *= 10;
    }
    for (bool inexact = false; exp10 < 0; exp10++) {
        inexact |= value % 10 != 0;
        value /= 10;
        if (exp10 == -1 && inexact)
            value++; /* rounding up: a limit asked for is never made smaller */
    }
    if (value > UINT64_MAX / 2)
        return -ERANGE;
    *ret = (uint64_t)value;
    return 0;
}
