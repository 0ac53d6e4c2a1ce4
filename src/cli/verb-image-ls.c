/* cwsandbox image ls: the images in this user's store. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int output;
};

static const struct option options[] = {
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "ls"};
    size_t n = 0;
    if (args->output == OUTPUT_JSON)
        call.words[n++] = "--json";
    return images_become(&call);
}

const struct verb verb_image_ls = {
    .name = "image ls",
    .summary = "List images in your store.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .args_size = sizeof(struct args),
    .run = run,
};
