/* cwsandbox image import: an archive, a layout or a root file system into the store. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *source;
    const char *reference;
    bool rootfs;
    int output;
};

static const struct option options[] = {
    {"rootfs", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, rootfs),
     "It is a plain root file system, whatever files it has."},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static const struct operand operands[] = {
    {"PATH", OPERAND_ONE, offsetof(struct args, source),
     "A directory, a file, or - for the input.", COMPLETE_FILES},
    {"REFERENCE", OPERAND_MAYBE, offsetof(struct args, reference),
     "The name it gets; without, an archive's own names."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "import"};
    size_t n = 0;
    if (args->output == OUTPUT_JSON)
        call.words[n++] = "--json";
    if (args->rootfs)
        call.words[n++] = "--rootfs";
    const char *operands_given[] = {args->source, args->reference};
    call.operands = (struct words){.items = operands_given, .n = args->reference ? 2 : 1};
    return images_become(&call);
}

const struct verb verb_image_import = {
    .name = "image import",
    .summary = "Put an image from a file or directory into your store.",
    .description = "Read are OCI layouts (a directory or a tar), archives of 'docker save', "
                   "and plain root file "
                   "systems (a directory, a tar, what 'docker export' writes). A tar may be "
                   "packed with gzip or "
                   "zstd.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
