/*
 * A pull for the service, which may not start programs: its supervisor starts `cwsandbox-image fetch` and gives it what the
 * daemon sent, as input and output.
 *
 * Input: four words, each with its NUL: the reference; a registry, a user and a password, or three empty ones. Nothing of it
 * is on a command line or in an environment, and it is read behind the wall. Output: "+", or "-" and why not. The end of the
 * output's reader is the end of the program.
 */
#ifndef CWS_IMAGE_FETCH_H
#define CWS_IMAGE_FETCH_H

#include "image/registries.h"
#include "image/store.h"

/** fetch_run() - what the input asks for. Errors: INVALID_ARGUMENT (the input), those of pull_image(). */
int fetch_run(struct store *s, struct registries *r, struct err *err);
/** fetch_answer() - @why: NULL when it is in the store. The exit status. */
int fetch_answer(const struct err *why);

#endif
