/*
 * Inside an event loop of one's own: one descriptor (cws_queue_fd) tells about any number of
 * handles and streams. The queue delivers a tag per completion; nothing here ever blocks except
 * epoll_wait().
 */
#include <cwsandbox.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define N_COMMANDS 5

/* A tag says what became ready. */
struct job {
    cws_process *process;
    int index;
    int reading; /* the stream is watched, then the handle */
};

static int die(const char *what, const cws_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error ? cws_error_message(error) : "?");
    return 1;
}

/* Takes what has arrived. 1 when the stream has ended. */
static int drain(struct job *job)
{
    cws_chunk chunk;
    cws_read_result result;
    while ((result = cws_reader_read(cws_process_stdout(job->process), 0, &chunk, NULL)) ==
           CWS_READ_DATA) {
        printf("job %d: %.*s", job->index, (int)chunk.size, (const char *)chunk.data);
        cws_chunk_release(&chunk);
    }
    return result != CWS_READ_TIMEOUT;
}

/* One event of one job. 1 when the job is finished. */
static int on_tag(cws_queue *queue, struct job *job)
{
    if (!job->reading) {
        const cws_error *error = cws_op_error(cws_process_op(job->process));
        printf("job %d: exit %d%s\n", job->index, cws_op_int(cws_process_op(job->process)),
               error ? " (failed)" : "");
        return 1;
    }
    if (drain(job)) {
        job->reading = 0;
        cws_queue_add(queue, cws_process_op(job->process), job, NULL);
    } else {
        cws_queue_add_reader(queue, cws_process_stdout(job->process), job,
                             NULL); /* one-shot: again */
    }
    return 0;
}

int main(void)
{
    cws_error *error = NULL;
    cws_sandbox *sb = cws_sandbox_run(NULL, NULL, &error);
    cws_queue *queue = cws_queue_new(&error);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!sb || !queue || epoll < 0)
        return die("set up", error);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(epoll, EPOLL_CTL_ADD, cws_queue_fd(queue), &event);

    struct job jobs[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        char script[64];
        (void)snprintf(script, sizeof(script), "sleep 0.%d; echo slept 0.%d s; exit %d", i, i,
                       i);
        const char *argv[] = {"sh", "-c", script};
        jobs[i] = (struct job){cws_sandbox_exec(sb, argv, 3, NULL, &error), i, 1};
        if (!jobs[i].process)
            return die("exec", error);
        cws_queue_add_reader(queue, cws_process_stdout(jobs[i].process), &jobs[i], NULL);
    }
    for (int left = N_COMMANDS; left > 0;) {
        if (epoll_wait(epoll, &event, 1, -1) < 0)
            continue; /* a signal */
        struct job *job;
        while ((job = cws_queue_next(queue)))
            left -= on_tag(queue, job);
    }
    for (int i = 0; i < N_COMMANDS; i++)
        cws_process_unref(jobs[i].process);
    cws_queue_free(queue);
    close(epoll);
    cws_op *stop = cws_sandbox_stop(sb, 0, 0, NULL);
    if (stop)
        cws_op_wait(stop, CWS_FOREVER);
    cws_op_unref(stop);
    cws_sandbox_unref(sb);
    return 0;
}
