/* cwsandbox image rm: references out of the store, and what only they need. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    struct words references;
    int output;
};

static const struct option options[] = {
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static const struct operand operands[] = {
    {"REFERENCE", OPERAND_REST, offsetof(struct args, references), "The images."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "rm"};
    size_t n = 0;
    if (args->output == OUTPUT_JSON)
        call.words[n++] = "--json";
    call.operands = args->references;
    return images_become(&call);
}

const struct verb verb_image_rm = {
    .name = "image rm",
    .summary = "Remove images from your store.",
    .description = "Layers that other images need, or that a sandbox has as its root, stay.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
