/*
 * libuv's thread pool, which this process may share with its parent's memory of it.
 *
 * libuv's destructor joins the threads of the pool. In a child of fork() those threads do not exist, and what is left of
 * them in memory may be anything's: exit() in the child crashes, or waits for ever. A pool that was begun in the child is
 * fine, and using it begins it (libuv resets its pthread_once in children). So a child that inherited a pool and never
 * used it does so once, at its exit. Seen with libuv 1.44.2 (Debian 12).
 */
#ifndef CWS_CLIENT_POOL_H
#define CWS_CLIENT_POOL_H

/** pool_note_use() - [loop] work is about to be given to libuv's threads. */
void pool_note_use(void);
/** pool_watch_exit() - once, before the first client. */
void pool_watch_exit(void);

#endif
