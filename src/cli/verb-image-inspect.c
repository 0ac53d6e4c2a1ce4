/* cwsandbox image inspect: what is known of an image, as JSON. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *reference;
};

static const struct operand operands[] = {
    {"REFERENCE", OPERAND_ONE, offsetof(struct args, reference), "The image."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "inspect"};
    const char *operands_given[] = {args->reference};
    call.operands = (struct words){.items = operands_given, .n = 1};
    return images_become(&call);
}

const struct verb verb_image_inspect = {
    .name = "image inspect",
    .summary = "Show what is known of an image, as JSON.",
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
