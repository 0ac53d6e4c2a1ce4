/*
 * cwsandbox doctor: can sandboxes work here, and what would make them better.
 *
 * From the bottom up: programs, kernel (as cwsandbox-launch sees it, which knows), directory,
 * service, and at the end the one thing that counts: a sandbox is made, runs a command and
 * goes. Against a service elsewhere only the service is asked: this machine's kernel does not
 * matter then, and a trial sandbox might cost money.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/program.h"
#include "cli/report.h"
#include "cli/verbs.h"
#include "cli/view.h"

#define N_ROUND_TRIPS \
    5 /* chosen: the first pays for the connection; the fastest of the rest is the round trip \
       */

struct args {
    int output;
};

static const struct option options[] = {
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

/* ---- programs and kernel ---- */

/* The keys of `cwsandbox-launch --check`. A key without a row is shown as it is. */
static const struct feature {
    const char *key;
    const char *subject; /* NULL: said elsewhere */
    const char *without; /* what a "no" costs; NULL: not a yes or no */
} features[] = {
    {"root", NULL, NULL},           /* the line "kernel" */
    {"uid_base", NULL, NULL},       /* a number for the operator's log, not a finding */
    {"cgroup_v2_only", NULL, NULL}, /* how, not whether */
    {"uid_count", "users inside", NULL},
    {"idmap", "file owners", "files of the machine's /usr show other owners inside"},
    {"netns_pool", "network pool", "creating a sandbox takes about half a millisecond more"},
    {"network", "network", "sandboxes have their loopback only"},
    {"cgroup_kill", "tree kill", "a process tree is killed by walking it"},
    {"limit_memory", "memory limits", "--memory is refused"},
    {"limit_cpu", "cpu limits", "--cpu is refused"},
    {"limit_pids", "process limits", "a fork bomb is not stopped"},
};

static void report_feature(struct report *r, const char *key, const char *value)
{
    for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
        const struct feature *f = &features[i];
        if (strcmp(f->key, key) != 0)
            continue;
        if (f->subject && f->without && strcmp(value, "yes") != 0)
            report_add(r, FINDING_MISSING, f->subject, "%s", f->without);
        else if (f->subject)
            report_add(r, FINDING_OK, f->subject, "%s", value);
        return;
    }
    report_add(r, FINDING_NOTE, key, "%s", value);
}

/* Cuts @text behind its first ": " and returns the rest, or NULL. */
static char *split_part(char *text)
{
    char *colon = strstr(text, ": ");
    if (!colon)
        return NULL;
    *colon = '\0';
    return colon + 2;
}

/* "limits: no controller is delegated: start as root": what, why, and what to do about it. */
static void report_problem(struct report *r, char *text, bool usable)
{
    if (!usable) {
        report_add(r, FINDING_BROKEN, "kernel", "%s", text);
        return;
    }
    char *why = split_part(text);
    char *remedy = why ? split_part(why) : NULL;
    report_add(r, FINDING_MISSING, why ? text : "kernel", "%s", why ? why : text);
    if (remedy)
        report_remedy(r, remedy);
}

static void report_answer(struct report *r, char *text)
{
    bool usable = true;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *value = strchr(line, '=');
        if (!value) {
            report_add(r, FINDING_NOTE, "kernel", "%s", line);
            continue;
        }
        *value++ = '\0';
        if (strcmp(line, "usable") == 0)
            usable = strcmp(value, "yes") == 0;
        else if (strcmp(line, "problem") == 0)
            report_problem(r, value, usable);
        else if (strcmp(line, "remedy") == 0)
            report_remedy(r, value);
        else
            report_feature(r, line, value);
    }
}

static void check_kernel(struct report *r, const char *launch)
{
    struct utsname name;
    if (uname(&name) == 0)
        report_add(r, FINDING_OK, "kernel", "%s %s, %s", name.sysname, name.release,
                   geteuid() == 0 ? "as root" : "as an ordinary user");
    CLEANUP_FREE char *text = NULL;
    int status = 0;
    int failed = program_ask(launch, "--check", &text, &status);
    if (failed < 0) {
        report_add(r, FINDING_BROKEN, "kernel", "%s cannot be run: %s", launch,
                   strerror(-failed));
        return;
    }
    report_answer(r, text);
    if (WIFSIGNALED(status))
        report_add(r, FINDING_BROKEN, "kernel", "%s --check was killed by %s", launch,
                   strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 && !r->broken)
        report_add(r, FINDING_BROKEN, "kernel", "%s --check failed with %d", launch,
                   WEXITSTATUS(status));
}

static void check_programs(struct report *r)
{
    static const char *const names[] = {"cwsandboxd", "cwsandbox-launch", "cwsandbox-init"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *path = program_find(names[i]);
        if (path) {
            report_add(r, FINDING_OK, names[i], "%s", path);
            continue;
        }
        CLEANUP_FREE char *places = program_places();
        report_add(r, FINDING_BROKEN, names[i], "not in %s", places);
        report_remedy(r, "install cwsandbox, or set CWSANDBOX_SERVICE_PATH to where it is");
    }
    CLEANUP_FREE char *launch = program_find("cwsandbox-launch");
    if (launch)
        check_kernel(r, launch);
}

/* ---- service ---- */

/* The embedded service's directory; that it is ours and closed was checked when the target was
 * made. */
static void check_directory(struct report *r, const char *url)
{
    CLEANUP_FREE char *path = text_dup(url + strlen("unix://"));
    char *slash = strrchr(path, '/');
    if (slash && slash != path)
        *slash = '\0';
    struct stat st;
    if (stat(path, &st) == 0)
        report_add(r, FINDING_OK, "directory", "%s", path);
    else if (errno == ENOENT)
        report_add(r, FINDING_OK, "directory", "%s, made on first use", path);
    else
        report_add(r, FINDING_BROKEN, "directory", "%s: %s", path, strerror(errno));
}

/* Waits for a call whose failure is a finding, not an error of this program. */
static int await_finding(struct cli *cli, struct report *r, const char *subject,
                         cws_op *take_op, cws_error *take_error)
{
    if (!take_op) {
        report_add(r, FINDING_BROKEN, subject, "%s",
                   take_error ? cws_error_message(take_error) : "out of memory");
        cws_error_free(take_error);
        return EXIT_ERROR;
    }
    CLEANUP_OP cws_op *op = NULL;
    int code = cli_await_quietly(cli, take_op, &op);
    if (code == EXIT_ERROR && op)
        report_add(r, FINDING_BROKEN, subject, "%s", cws_error_message(cws_op_error(op)));
    return code;
}

static int check_service(struct cli *cli, struct report *r)
{
    uint64_t fastest_ns = UINT64_MAX;
    for (int i = 0; i < N_ROUND_TRIPS; i++) {
        cws_error *error = NULL;
        uint64_t begin_ns = monotonic_ns();
        cws_op *call = cws_list(cli->client, cli->target, NULL, &error);
        int code = await_finding(cli, r, "service", call, error);
        if (code != EXIT_FINE)
            return code;
        uint64_t took_ns = monotonic_ns() - begin_ns;
        if (took_ns < fastest_ns)
            fastest_ns = took_ns;
    }
    report_add(r, FINDING_OK, "service", "%s answers, round trip %.2f ms",
               cws_target_url(cli->target), (double)fastest_ns / (double)NS_PER_MS);
    return EXIT_FINE;
}

static int try_command(struct cli *cli, struct report *r, cws_sandbox *sb)
{
    static const char *const argv[] = {"/bin/sh", "-c", "exit 7"};
    cws_error *error = NULL;
    uint64_t begin_ns = monotonic_ns();
    CLEANUP_PROCESS cws_process *process =
        cws_sandbox_exec(sb, argv, ARRAY_SIZE(argv), NULL, &error);
    cws_op *op = process ? cws_op_ref(cws_process_op(process)) : NULL;
    int code = await_finding(cli, r, "sandbox", op, error);
    if (code != EXIT_FINE)
        return code;
    int returncode = 0;
    if (!cws_process_returncode(process, &returncode) || returncode != 7) {
        report_add(r, FINDING_BROKEN, "sandbox", "`exit 7` ended with %d", returncode);
        return EXIT_ERROR;
    }
    report_add(r, FINDING_OK, "sandbox", "created and ran a command in %.1f ms",
               (double)(monotonic_ns() - begin_ns) / (double)NS_PER_MS);
    return EXIT_FINE;
}

static int check_sandbox(struct cli *cli, struct report *r)
{
    cws_error *error = NULL;
    CLEANUP_SANDBOX cws_sandbox *sb = cws_sandbox_new(cli->client, cli->target, NULL, &error);
    if (!sb) {
        report_add(r, FINDING_BROKEN, "sandbox", "%s", cws_error_message(error));
        cws_error_free(error);
        return EXIT_ERROR;
    }
    int code = try_command(cli, r, sb);
    cws_op *call = cws_sandbox_stop(sb, 0, 1, &error);
    int stopped = await_finding(cli, r, "sandbox", call, error);
    return code == EXIT_FINE ? stopped : code;
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    struct report r;
    report_init(&r, args->output == OUTPUT_JSON);
    cws_error *error;
    bool connected = cli_connect_quietly(cli, &error);
    const char *url = connected ? cws_target_url(cli->target) : "";
    bool local = !connected || strncmp(url, "unix://", strlen("unix://")) == 0;
    if (local)
        check_programs(&r);
    else
        report_add(&r, FINDING_NOTE, "kernel", "not checked: sandboxes run at %s", url);
    if (!connected) {
        report_add(&r, FINDING_BROKEN, local ? "directory" : "service", "%s",
                   error ? cws_error_message(error) : strerror(errno));
        cws_error_free(error);
        report_end(&r);
        return EXIT_ERROR;
    }
    if (local)
        check_directory(&r, url);
    int code = check_service(cli, &r);
    if (code == EXIT_FINE && local)
        code = check_sandbox(cli, &r);
    if (code > EXIT_SIGNAL)
        return code;
    report_end(&r);
    return r.broken ? EXIT_ERROR : EXIT_FINE;
}

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "Check what sandboxes need on this machine, with remedies.",
    .description =
        "Exits with 1 when sandboxes cannot work. 'missing' lines are features that this "
        "kernel or user does not give; sandboxes work without them.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .args_size = sizeof(struct args),
    .run = run,
};
