/* cwsandbox image prune: what no reference needs, and on demand references that are not used. */
#include "cli/cli.h"
#include "cli/images.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    uint64_t unused_ns;
    const char *keep_bytes;
    int output;
};

static const struct option options[] = {
    {"unused-for", 0, OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, unused_ns),
     "Also remove images that were not used for so long."},
    {"keep-bytes", 0, OPTION_STRING, "BYTES", NULL, NULL, offsetof(struct args, keep_bytes),
     "Also remove the images that were not used for longest, until the rest is no larger."},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    struct image_call call = {.verb = "prune"};
    size_t n = 0;
    if (args->output == OUTPUT_JSON)
        call.words[n++] = "--json";
    CLEANUP_FREE char *unused =
        args->unused_ns
            ? text_printf("%llu", (unsigned long long)(args->unused_ns / 1000000000))
            : NULL;
    if (unused) {
        call.words[n++] = "--unused-for";
        call.words[n++] = unused;
    }
    if (args->keep_bytes) {
        call.words[n++] = "--keep-bytes";
        call.words[n++] = args->keep_bytes;
    }
    return images_become(&call);
}

const struct verb verb_image_prune = {
    .name = "image prune",
    .summary = "Remove what no image in your store needs.",
    .description = "Layers that a sandbox has as its root stay.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .args_size = sizeof(struct args),
    .run = run,
};
