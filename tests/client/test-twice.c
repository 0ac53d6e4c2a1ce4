/* Two copies of the library in one process: each has its own state, both work. argv[1]: the
 * shared library. */
#include "service.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *library;

/* What the test needs of one copy. */
struct copy {
    void *handle;
    __typeof__(cws_client_default) *client_default;
    __typeof__(cws_sandbox_run) *run;
    __typeof__(cws_sandbox_exec) *exec;
    __typeof__(cws_sandbox_stop) *stop;
    __typeof__(cws_sandbox_unref) *unref;
    __typeof__(cws_process_op) *process_op;
    __typeof__(cws_process_output) *output;
    __typeof__(cws_process_unref) *process_unref;
    __typeof__(cws_op_wait) *wait;
    __typeof__(cws_op_unref) *op_unref;
};

static void *symbol(void *handle, const char *name)
{
    void *found = dlsym(handle, name);
    if (!found)
        fail_msg("no %s", name);
    return found;
}

static struct copy load(const char *path)
{
    struct copy c = {.handle = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!c.handle)
        fail_msg("dlopen: %s", dlerror());
    c.client_default = symbol(c.handle, "cws_client_default");
    c.run = symbol(c.handle, "cws_sandbox_run");
    c.exec = symbol(c.handle, "cws_sandbox_exec");
    c.stop = symbol(c.handle, "cws_sandbox_stop");
    c.unref = symbol(c.handle, "cws_sandbox_unref");
    c.process_op = symbol(c.handle, "cws_process_op");
    c.output = symbol(c.handle, "cws_process_output");
    c.process_unref = symbol(c.handle, "cws_process_unref");
    c.wait = symbol(c.handle, "cws_op_wait");
    c.op_unref = symbol(c.handle, "cws_op_unref");
    return c;
}

static void use(const struct copy *c)
{
    cws_sandbox *sb = c->run(NULL, NULL, NULL);
    assert_non_null(sb);
    cws_process *p = c->exec(sb, ARGV("echo", "hi"), NULL, NULL);
    assert_int_equal(c->wait(c->process_op(p), LONG), CWS_WAIT_DONE);
    size_t n;
    assert_string_equal(c->output(p, CWS_STDOUT, &n), "hi\n");
    c->process_unref(p);
    cws_op *stop = c->stop(sb, 0, 0, NULL);
    assert_int_equal(c->wait(stop, LONG), CWS_WAIT_DONE);
    c->op_unref(stop);
    c->unref(sb);
}

static void test_two_copies_do_not_share_state(void **state)
{
    char second[128], command[512];
    (void)snprintf(second, sizeof(second), "%s/libsecond.so", service_dir());
    (void)snprintf(command, sizeof(command), "cp '%s' '%s'", library, second);
    assert_int_equal(system(command), 0);
    struct copy a = load(library), b = load(second);
    assert_ptr_not_equal(a.client_default, b.client_default);
    assert_ptr_not_equal(a.client_default(NULL), b.client_default(NULL));
    use(&a);
    use(&b);
    use(&a);
}

int main(int argc, char **argv)
{
    library = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_copies_do_not_share_state),
    };
    return cmocka_run_group_tests(tests, service_begin, service_end);
}
