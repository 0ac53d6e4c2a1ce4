/*
 * What the library and cwsandbox-init say to each other about files, through a command of the sandbox: an exec that is marked
 * (wire/exec-facts.h, EXEC_FILES_HEADER) executes nothing of the sandbox; init's own child does what its words say.
 *
 *     FILES_PROGRAM list PATH            stdout: a record for each name in the directory
 *     FILES_PROGRAM stat PATH            stdout: one record, with PATH as it was given; a link is told as a link
 *     FILES_PROGRAM mkdir PATH MODE      octal; what is missing above it is made (0755); one that is there is fine
 *     FILES_PROGRAM remove PATH          a file, a link, an empty directory
 *     FILES_PROGRAM remove-tree PATH     what is in it, too; links are not followed
 *     FILES_PROGRAM rename OLD NEW       rename(2)
 *     FILES_PROGRAM read PATH            stdout: the content; of a FIFO or a device, what comes
 *     FILES_PROGRAM write PATH [SIZE]    stdin: the content; creates or overwrites, keeps owner and mode of what is there.
 *                                        With SIZE there is room for it before a byte is touched, and it is all of it.
 *     FILES_PROGRAM pack PATH            stdout: the tree (tree.h)
 *     FILES_PROGRAM unpack PATH          stdin: a tree, into a directory that is made if it is missing
 *     FILES_PROGRAM changes              stdout: what the sandbox has written, as a layer of an image (an OCI layer, not packed); for root
 *     FILES_PROGRAM commit REFERENCE [NAME=VALUE | =WORKING_DIR]...
 *                                        answered by the service: an image of this name, with the changes as its topmost layer, and
 *                                        with these of its words changed. stdout: its id, "sha256:" and 64 digits
 *
 * A record: "KIND MODE UID GID SIZE SECONDS NANOSECONDS NAME\0TARGET\0", numbers in decimal, MODE in octal; KIND is a letter of
 * FILES_KINDS; TARGET is "" but of a link. Names are bytes. Paths are absolute; one that is
 * not UTF-8 is spelled, since no message can hold it: each byte as a backslash, a 0 and three octal digits.
 *
 * Exit code 0; else 1, and stderr says "REASON PATH: text", where REASON is one of FILES_REASONS.
 */
#ifndef CWS_BASE_FILES_WORDS_H
#define CWS_BASE_FILES_WORDS_H

#define FILES_PROGRAM "cwsandbox-files"
#define FILES_CHANGES "changes"
#define FILES_COMMIT "commit"
#define FILES_KINDS \
    "fdlpscb" /* file, directory, link, FIFO, socket, character and block device */

/* What follows "CWSANDBOX_" in the error. */
#define FILES_NOT_FOUND "FILE_NOT_FOUND"
#define FILES_IS_DIRECTORY "FILE_IS_DIRECTORY"
#define FILES_PERMISSION_DENIED "FILE_PERMISSION_DENIED"
#define FILES_IO_FAILED "FILE_IO_FAILED"

#endif
