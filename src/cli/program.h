/*
 * The other programs of this installation: where they are, and asking one a question.
 */
#ifndef CWS_CLI_PROGRAM_H
#define CWS_CLI_PROGRAM_H

/**
 * program_find() - the path of @name ("cwsandboxd")
 * CWSANDBOX_SERVICE_PATH (a directory, or the service itself) decides alone when it is set;
 * else beside this executable,
 * ../libexec/cwsandbox from there, the directories chosen at build time.
 * Return: heap, or NULL when it is in none of them.
 */
char *program_find(const char *name);
/** program_places() - heap: where program_find() looks, for messages. */
char *program_places(void);

/**
 * program_ask() - run @path with one argument and collect what it prints on stdout and stderr
 * @ret_text:   heap, always set on success
 * @ret_status: as waitpid(2)
 * Return: 0 or -errno (the program could not be started).
 */
int program_ask(const char *path, const char *argument, char **ret_text, int *ret_status);

#endif
