/*
 * Requests to the kernel's routing and nftables tables: a batch of netlink messages, sent at once, each acknowledged.
 * A batch that does not fit is remembered as -EMSGSIZE and said when it is sent, so that nobody checks each attribute.
 */
#ifndef CWS_LAUNCH_NETLINK_H
#define CWS_LAUNCH_NETLINK_H

#include <linux/netlink.h>
#include <sys/types.h>

#include "base/macros.h"

#define NETLINK_BATCH_BYTES 32768 /* chosen: 256 elements of a set, 100 bytes each */

struct netlink_batch {
    uint8_t bytes[NETLINK_BATCH_BYTES];
    size_t n;
    struct nlmsghdr *last; /* the message that attributes go to */
    uint32_t n_acks;       /* messages that will be answered */
    int error;
};

/** netlink_open() - a socket of @protocol in the network namespace we are in. Descriptor, or -errno. */
int netlink_open(int protocol);
void netlink_begin(struct netlink_batch *b);
/** netlink_add() - the next message; @head: what follows the header. NLM_F_ACK in @flags: wait for its answer. */
void netlink_add(struct netlink_batch *b, uint16_t type, uint16_t flags, const void *head,
                 size_t n_head);
void netlink_put(struct netlink_batch *b, uint16_t type, const void *data, size_t n);
void netlink_put_u32(struct netlink_batch *b, uint16_t type, uint32_t value);
void netlink_put_text(struct netlink_batch *b, uint16_t type, const char *text);
/** netlink_put_head() - bytes without a header of their own, as in VETH_INFO_PEER. */
void netlink_put_head(struct netlink_batch *b, const void *data, size_t n);
/** netlink_nest() - what is put from here on is inside of @type, until netlink_unnest() of the number returned. */
size_t netlink_nest(struct netlink_batch *b, uint16_t type);
void netlink_unnest(struct netlink_batch *b, size_t nest);
/** netlink_send() - 0, or the first error that the kernel answered; every acknowledgement has been read. */
int netlink_send(int fd, struct netlink_batch *b);
/** netlink_dump() - calls @each for every message that a dump brings. */
int netlink_dump(int fd, struct netlink_batch *b,
                 void (*each)(void *user, const struct nlmsghdr *msg), void *user);

#endif
