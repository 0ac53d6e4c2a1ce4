/*
 * Sites: services that sandboxes publish, under the host names of their URLs, http[s]://PORT-ID.DOMAIN[:PORT]. A site is there while
 * its sandbox lives.
 *
 * Owner: the service; a site its sandbox's record. Thread: the loop's.
 */
#ifndef CWS_SERVER_SITES_H
#define CWS_SERVER_SITES_H

#include "base/strmap.h"
#include "server/keys.h"
#include "wire/http1.h"

#define SITE_LABEL_MAX 64 /* RFC 1035: 63, and NUL */
#define SITE_TIMEOUT_SECONDS \
    15 /* of an HTTPS endpoint that asks for none: as the hosted service */
#define SITE_PLAIN_TIMEOUT_SECONDS 60 /* chosen: of a service without an endpoint */
#define SITE_TOKEN_BYTES 32           /* chosen: of randomness in a share token */
#define SITE_TOKEN_MAX (2 * SITE_TOKEN_BYTES + 1)
#define SITE_TOKEN_HEADER "x-sandbox-share-token"
#define SITE_TOKEN_PARAMETER "share_token"

struct sandbox;

enum site_access {
    SITE_OPEN,
    SITE_TOKEN, /* the sandbox's share token */
    SITE_KEY,   /* an API key of the owner */
    SITE_TLS,   /* whoever speaks TLS with the program itself: no HTTP is spoken for it */
};

struct site {
    char label[SITE_LABEL_MAX]; /* the host's first label; "": not published */
    char *url;                  /* of SITE_TLS "host:port" */
    struct sandbox *sandbox;    /* borrowed: withdrawn before it goes */
    const char *owner;          /* borrowed from it */
    const char *token;          /* borrowed from its record */
    uint16_t port;
    enum site_access access;
    uint64_t timeout_ns;
};

struct sites {
    char *authority; /* what URLs end with: "localhost:8080"; NULL: there is no front */
    size_t n_domain; /* of it the bytes before the port */
    bool tls;
    struct strmap by_label;
};

/** sites_open() - the front listens at @port; @domain "NAME[:PORT]" is what URLs say, NULL: one of this machine; without a port @port. 0 or -ENOMEM. */
int sites_open(struct sites *all, const char *domain, unsigned port, bool tls) WARN_UNUSED;
/** sites_done() - no site is left. */
void sites_done(struct sites *all);
/** site_publish() - from now on; @site->sandbox, owner, token, port, access, timeout_ns are set. 0 or -ENOMEM, -EEXIST. */
int site_publish(struct sites *all, const char *sandbox_id, struct site *site) WARN_UNUSED;
/** site_withdraw() - harmless when it is not published. */
void site_withdraw(struct sites *all, struct site *site);
/** sites_find() - the one that a Host field names, or NULL. */
struct site *sites_find(const struct sites *all, struct http_text host);
/** site_admits() - does the request present what the site asks for? @keys may be NULL. */
bool site_admits(const struct site *site, const struct keys *keys,
                 const struct http_head *head);

#endif
