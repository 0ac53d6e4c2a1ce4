/*
 * How the caller calls what the wire calls otherwise: "sandbox.spec.containers[0].resource_requirements.limits.cpu" is the
 * argument `resources`. Only texts for people are changed; cws_error_violation() has the names of the wire.
 */
#ifndef CWS_CLIENT_FIELD_WORDS_H
#define CWS_CLIENT_FIELD_WORDS_H

/** field_words() - heap: @text with the paths of a sandbox's specification in it replaced; NULL: out of memory. */
char *field_words(const char *text);
/** field_word() - static: the argument that fills the field @name of a request; @name itself when both are called the same. */
const char *field_word(const char *name);

#endif
