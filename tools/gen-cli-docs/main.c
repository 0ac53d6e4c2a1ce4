/* gen-cli-docs PAGE: one man page on stdout; run by the build. */
#include <stdio.h>
#include <string.h>

#include "roff.h"

int main(int argc, char **argv)
{
    const char *page = argc == 2 ? argv[1] : "";
    if (strcmp(page, "cwsandbox.1") == 0)
        page_cwsandbox();
    else if (strcmp(page, "cwsandboxd.8") == 0)
        page_cwsandboxd();
    else
        return 2;
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
