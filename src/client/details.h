/*
 * details: what the service says about a sandbox that few sandboxes have: URLs and ports of
 * services, names it may connect to, GPUs. Immutable and refcounted, so that a program can keep
 * one while the next answer replaces it. NULL stands for "nothing of all that".
 */
#ifndef CWS_CLIENT_DETAILS_H
#define CWS_CLIENT_DETAILS_H

#include "base/macros.h"
#include "cwsandbox.h"
#include "wire/proto.h"

struct details;

/**
 * details_next() - what is known once @status was heard, with @old known before
 * URLs and names are replaced by each answer; ports stay until one names services; GPUs until
 * one names resources.
 * Return: 0 with a new reference or NULL in *@ret; -ENOMEM.
 */
int details_next(struct details *old, const Pb__SandboxStatus *status, struct details **ret);
struct details *details_ref(struct details *d);
void details_unref(struct details *d);
const cws_sandbox_details *details_public(const struct details *d);

#endif
