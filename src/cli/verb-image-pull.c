/* cwsandbox image pull: an image from a registry into the store. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *reference;
    const char *registries;
    int output;
};

static const struct option options[] = {
    {"registries", 0, OPTION_STRING, "FILE", NULL, NULL, offsetof(struct args, registries),
     "Mirrors, certificates and registries without TLS; "
     "~/.config/cwsandbox/registries.conf or /etc/cwsandbox/registries.conf when not given.",
     COMPLETE_FILES},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static const struct operand operands[] = {
    {"REFERENCE", OPERAND_ONE, offsetof(struct args, reference),
     "[registry/]name[:tag][@digest], as Docker writes it."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "pull"};
    size_t n = 0;
    if (args->output == OUTPUT_JSON)
        call.words[n++] = "--json";
    if (args->registries) {
        call.words[n++] = "--registries";
        call.words[n++] = args->registries;
    }
    const char *operands_given[] = {args->reference};
    call.operands = (struct words){.items = operands_given, .n = 1};
    return images_become(&call);
}

const struct verb verb_image_pull = {
    .name = "image pull",
    .summary = "Get an image from a registry into your store.",
    .description =
        "The login that 'docker login' left in Docker's config file is used. Layers that are "
        "there already are not fetched; a pull that was interrupted goes on where it ended.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
