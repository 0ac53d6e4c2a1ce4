/*
 * cwsandbox-image: gets images into a store and out of it. Started by `cwsandbox image …`. The store and whatever files the
 * words name are opened first, then the program confines itself, and only then does it read what others wrote.
 *
 * Exit status: 0; 1 with "Error: …" on stderr; 2 for the words of the command line. One line of stdout for each image, or JSON.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/datadir.h"
#include "base/util.h"
#include "image/confine.h"
#include "image/fetch.h"
#include "image/json.h"
#include "image/options.h"
#include "image/store.h"
#include "image/verbs.h"

static char *default_store(void)
{
    const char *chosen = getenv("CWSANDBOX_DATA_DIR");
    CLEANUP_FREE char *data = chosen && chosen[0] == '/' ? strdup(chosen) : datadir_embedded();
    return data ? str_dup_printf("%s/images", data) : NULL;
}

static int open_store(struct verb_world *w, struct err *err)
{
    CLEANUP_FREE char *path = w->options.store ? strdup(w->options.store) : default_store();
    if (!path)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "no --store, CWSANDBOX_DATA_DIR or HOME says where images belong");
    return store_open(&w->store, path, err);
}

/* What is read or written by name is opened while names still reach it. */
static int open_files(struct verb_world *w, struct err *err)
{
    const struct image_options *o = &w->options;
    if (o->verb == VERB_FETCH && fetch_open(&w->fetch, o->secrets, err) < 0)
        return -1;
    if (o->verb == VERB_PULL || o->verb == VERB_FETCH) {
        w->registries.public_only = o->public_only;
        return registries_load(&w->registries, o->registries,
                               o->no_logins ? LOGINS_NONE : LOGINS_DOCKER, err);
    }
    if (o->verb == VERB_IMPORT) {
        const char *path = o->operands[0];
        w->input =
            strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        if (w->input < 0)
            return err_set_errno(err, ERR_NOT_FOUND, errno, "open `%s`", path);
    }
    if (o->verb == VERB_EXPORT) {
        const char *path = o->operands[1];
        w->output = strcmp(path, "-") == 0
                        ? dup(STDOUT_FILENO)
                        : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (w->output < 0)
            return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s`", path);
    }
    return 0;
}

static int go_behind_the_wall(struct verb_world *w, struct err *err)
{
    struct stat st;
    struct rlimit files;
    bool directory = w->input >= 0 && fstat(w->input, &st) == 0 && S_ISDIR(st.st_mode);
    struct confine_paths paths = {.store = w->store.fd, .input = directory ? w->input : -1};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* walking merged layers takes many */
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    json_object_seed(0); /* reads /dev/urandom */
    (void)umask(0);
    (void)signal(SIGPIPE, SIG_IGN);
    return confine(&paths, &w->store.keep_owners, err);
}

/* @ret_id: of what was committed, or "". */
static int run(char **argv, char ret_id[static DIGEST_HEX + 1], struct err *err)
{
    CLEANUP(verb_world_done)
    struct verb_world w = {.input = -1, .output = -1, .store = {.fd = -1, .lock = -1}};
    if (image_options_parse(argv, &w.options, err) < 0)
        return 2;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, ERR_INTERNAL, "initialise libcurl");
    if (open_files(&w, err) < 0 || open_store(&w, err) < 0 || go_behind_the_wall(&w, err) < 0)
        return 1;
    int r = verb_run(&w, err);
    memcpy(ret_id, w.fetch.id, sizeof(w.fetch.id));
    return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    CLEANUP_ERR struct err err = {0};
    (void)argc;
    char id[DIGEST_HEX + 1] = "";
    int code = run(argv, id, &err);
    if (argv[1] && strcmp(argv[1], "fetch") == 0)
        return fetch_answer(code == 0 ? NULL : &err, id);
    if (code == 0 && (fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
        (void)err_set_errno(&err, ERR_UNAVAILABLE, errno, "write the answer");
        code = 1;
    }
    if (code != 0)
        (void)fprintf(stderr, "Error: %s\n", err_text(&err));
    return code;
}
