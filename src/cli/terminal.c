/* See terminal.h. */
#include "cli/terminal.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool terminal_usable(void)
{
    return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

int terminal_enter(struct terminal *t)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &raw) < 0)
        return -errno;
    if (!t->raw)
        t->saved = raw;
    cfmakeraw(&raw);
    /* DRAIN, not FLUSH: what was typed ahead belongs to the remote shell. */
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
        return -errno;
    t->raw = true;
    return 0;
}

void terminal_leave(struct terminal *t)
{
    if (!t->raw)
        return;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN,
                    &t->saved); /* fails only when the terminal is gone */
    t->raw = false;
}

void terminal_size(uint32_t *ret_width, uint32_t *ret_height)
{
    struct winsize size = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    *ret_width = size.ws_col ? size.ws_col : 80;
    *ret_height = size.ws_row ? size.ws_row : 24;
}
