/*
 * The user's terminal in raw mode. terminal_enter() and terminal_leave() come in pairs; leaving
 * twice is harmless, and the settings that were found are what is put back, also after
 * SIGTSTP/SIGCONT in between.
 */
#ifndef CWS_CLI_TERMINAL_H
#define CWS_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

struct terminal {
    struct termios saved; /* valid while `raw` */
    bool raw;
};

/** terminal_usable() - stdin and stdout are both terminals. */
bool terminal_usable(void);
/** terminal_enter() - raw mode on stdin. 0 or -errno. */
int terminal_enter(struct terminal *t);
void terminal_leave(struct terminal *t);
/** terminal_size() - columns and rows of stdout; 80x24 when it does not tell. */
void terminal_size(uint32_t *ret_width, uint32_t *ret_height);

#endif
