/* What a sandbox can have of an image. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "runtime/image-find.h"
#include "runtime/room.h"

struct sample {
    size_t n_layers;
    bool twice;     /* the lowest is the topmost, too */
    bool malformed; /* a name that leads out */
    size_t n_env_bytes;
};

static char *layer_name(size_t n)
{
    char *name = NULL;
    assert_true(asprintf(&name, "%064zx", n) > 0);
    return name;
}

static int find(void *user, const char *name, bool brought, struct runtime_image *ret,
                struct err *err)
{
    const struct sample *f = user;
    if (strcmp(name, "far") == 0 && !brought)
        return 1;
    if (strcmp(name, "none") == 0)
        return err_set(err, ERR_NOT_FOUND, "no `%s` here", name);
    ret->layers = calloc(f->n_layers + 1, sizeof(char *));
    for (size_t i = 0; i < f->n_layers; i++)
        ret->layers[i] = layer_name(f->twice && i == f->n_layers - 1 ? 0 : i);
    if (f->malformed) {
        free(ret->layers[0]);
        ret->layers[0] = strdup("../../etc");
    }
    ret->env = calloc(2, sizeof(char *));
    ret->env[0] = calloc(1, f->n_env_bytes + 3);
    memset(ret->env[0], 'x', f->n_env_bytes + 2);
    ret->env[0][1] = '=';
    ret->user = strdup("app");
    return 0;
}

static struct runtime runtime_of(struct sample *f)
{
    return (struct runtime){.config = {.find_image = find, .user = f},
                            .features = {.root = true}};
}

/* The text of the refusal, which is @says among others; "" for none. */
static void assert_found(struct sample f, const char *says)
{
    struct runtime rt = runtime_of(&f);
    CLEANUP_IMAGE struct runtime_image image = {0};
    CLEANUP_ERR struct err err = {0};
    int r = image_find(&rt, "name", false, &image, &err);
    assert_int_equal(r, *says ? -1 : 0);
    if (!*says)
        return;
    assert_non_null(strstr(err_text(&err), says));
    assert_non_null(strstr(err_text(&err), "name"));
    assert_null(image.layers);
}

static void test_what_no_sandbox_can_have_is_refused_by_name(void **state)
{
    (void)state;
    assert_found((struct sample){.n_layers = 1}, "");
    assert_found((struct sample){.n_layers = LAUNCH_MAX_LAYERS}, "");
    assert_found((struct sample){.n_layers = LAUNCH_MAX_LAYERS + 1}, "has 65 layers");
    assert_found((struct sample){.n_layers = LAUNCH_MAX_LAYERS + 1, .twice = true}, "");
    assert_found((struct sample){.n_layers = 0}, "has no layers");
    assert_found((struct sample){.n_layers = 1, .malformed = true}, "is no layer");
    assert_found((struct sample){.n_layers = 1, .n_env_bytes = 1000000}, "");
    assert_found((struct sample){.n_layers = 1, .n_env_bytes = 1048576}, "more than 1048576");
}

static void test_of_a_repeated_layer_the_upper_one_stays(void **state)
{
    struct sample f = {.n_layers = 3, .twice = true};
    struct runtime rt = runtime_of(&f);
    CLEANUP_IMAGE struct runtime_image image = {0};
    CLEANUP_FREE char *first = layer_name(0), *second = layer_name(1);
    (void)state;
    assert_int_equal(image_find(&rt, "name", false, &image, NULL), 0);
    assert_int_equal(strings_count(image.layers), 2);
    assert_string_equal(image.layers[0], second);
    assert_string_equal(image.layers[1], first);
    CLEANUP_FREE struct cell_kind *kind = image_kind(&rt, &image, false);
    assert_false(kind->root.host);
    assert_int_equal(kind->root.n_layers, 2);
    assert_string_equal(kind->root.layers[1], first);
}

static void test_where_there_is_one_user_the_images_is_left_out(void **state)
{
    struct sample f = {.n_layers = 1};
    struct runtime rt = runtime_of(&f);
    (void)state;
    for (int root = 0; root < 2; root++) {
        CLEANUP_IMAGE struct runtime_image image = {0};
        rt.features.root = root;
        assert_int_equal(image_find(&rt, "name", false, &image, NULL), 0);
        assert_true(root ? strcmp(image.user, "app") == 0 : image.user == NULL);
    }
}

static void test_host_is_asked_of_nobody_and_unknown_names_are_the_callbacks(void **state)
{
    struct runtime rt = {.config = {.find_image = find}};
    CLEANUP_IMAGE struct runtime_image image = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    assert_int_equal(image_find(&rt, "host", false, &image, NULL), 0);
    assert_null(image.layers);
    assert_int_equal(image_find(&rt, "none", false, &image, &err), -1);
    assert_string_equal(err_text(&err), "no `none` here");
    rt.config.find_image = NULL;
    assert_int_equal(image_find(&rt, "other", false, &image, &err), -1);
    assert_non_null(strstr(err_text(&err), "`other` is not available"));
}

static void test_what_must_be_brought_is_nothing_before(void **state)
{
    struct sample f = {.n_layers = 1};
    struct runtime rt = runtime_of(&f);
    CLEANUP_IMAGE struct runtime_image image = {0};
    (void)state;
    assert_int_equal(image_find(&rt, "far", false, &image, NULL), 1);
    assert_null(image.layers);
    assert_int_equal(image_find(&rt, "far", true, &image, NULL), 0);
    assert_non_null(image.layers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_no_sandbox_can_have_is_refused_by_name),
        cmocka_unit_test(test_of_a_repeated_layer_the_upper_one_stays),
        cmocka_unit_test(test_where_there_is_one_user_the_images_is_left_out),
        cmocka_unit_test(test_what_must_be_brought_is_nothing_before),
        cmocka_unit_test(test_host_is_asked_of_nobody_and_unknown_names_are_the_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
