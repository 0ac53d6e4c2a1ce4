/* cwsandbox image export: an image out of the store into a file. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"

struct args {
    const char *reference;
    const char *path;
    bool rootfs;
};

static const struct option options[] = {
    {"rootfs", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, rootfs),
     "A plain root file system, its layers merged, as 'docker export' writes it."},
};

static const struct operand operands[] = {
    {"REFERENCE", OPERAND_ONE, offsetof(struct args, reference), "The image."},
    {"PATH", OPERAND_ONE, offsetof(struct args, path),
     "The file, which is replaced, or - for the output.", COMPLETE_FILES},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "export"};
    if (args->rootfs)
        call.words[0] = "--rootfs";
    const char *operands_given[] = {args->reference, args->path};
    call.operands = (struct words){.items = operands_given, .n = 2};
    return images_become(&call);
}

const struct verb verb_image_export = {
    .name = "image export",
    .summary = "Write an image of your store to a file.",
    .description = "The archive is an OCI layout and what 'docker load' reads, both at once. "
                   "Its layers are "
                   "packed anew, so its digests are not those of the registry it came from.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
