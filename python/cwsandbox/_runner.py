"""Runs inside the sandbox, as ``python -c <this text> ...``: calls a function whose source, name and arguments are JSON.

    fresh PAYLOAD RESULT TEMP_DIR   one call, in this interpreter: reads the payload file, writes the result file
    warm                            serves calls: one line per request on stdin, one line per answer on stdout

A warm interpreter forks for each call, so a call finds an interpreter that has run nothing yet and can leave nothing behind in it.
Requests are ``call ID JSON`` and ``kill ID``; answers ``ready``, ``nofork``, ``done ID CODE OUT ERR RESULT`` with the two outputs in
base64 ("-": none) and the result as JSON, empty when there is none. All of it is ASCII, so text decoding cannot change it.

The image decides which Python this is: nothing newer than 3.6 is used without asking, and little is imported, because each new
sandbox pays for it.
"""

# mypy: ignore-errors
# (no annotations: they would travel into every sandbox)

import json
import os
import sys


def call(request):
    """Return the result of one request as JSON text. A failure leaves markers on stderr and raises SystemExit(1)."""
    name, source = request["name"], request["source"]
    main = type(sys)("__main__")  # so that nothing of this file is in the way of the function's globals
    sys.modules["__main__"] = main
    for variable, value in request.get("environment", {}).items():
        if value is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = value
    main.__dict__.update(request["closure_vars"])
    try:
        exec(compile(source, "<%s>" % name, "exec", dont_inherit=True), main.__dict__)
        result = main.__dict__[name](*request["args"], **request["kwargs"])
    except Exception as error:
        report(error, name, source)
        sys.exit(1)
    try:
        return json.dumps(result)
    except (TypeError, ValueError, RecursionError) as error:
        print("RESULT_SERIALIZATION_ERROR:%s:%s" % (type(error).__name__, one_line(error)), file=sys.stderr)
        sys.exit(1)


def one_line(error):
    try:
        return str(error).replace("\n", " ")
    except Exception:
        return "<no text>"


def report(error, name, source):
    import linecache
    import traceback

    file = "<%s>" % name
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    print("EXCEPTION:%s" % one_line(error), file=sys.stderr)
    trace = error.__traceback__.tb_next or error.__traceback__  # without the frame of call()
    traceback.print_exception(type(error), error, trace)


def fresh(payload_path, result_path, temp_dir):
    os.makedirs(temp_dir, exist_ok=True)
    with open(payload_path) as f:
        request = json.load(f)
    result = call(request)
    with open(result_path, "w") as f:
        f.write(result)


class Child:
    def __init__(self, number):
        self.number = number
        self.files = [scratch_file() for _ in range(3)]  # stdout, stderr, result

    def answer(self, code):
        import binascii

        contents = []
        for fd in self.files:
            size = os.fstat(fd).st_size
            os.lseek(fd, 0, os.SEEK_SET)
            contents.append(read_all(fd, size))
            os.close(fd)
        out, err, result = contents
        texts = [binascii.b2a_base64(data, newline=False) if data else b"-" for data in (out, err)]
        return b"done %d %d %s %s %s\n" % (self.number, code, texts[0], texts[1], result.replace(b"\n", b" "))


def scratch_file():
    """A file without a name: nobody has to empty it while the call runs, and processes left behind do not hold up its end."""
    try:
        return os.memfd_create("call")
    except (AttributeError, OSError):
        import tempfile

        with tempfile.TemporaryFile() as f:
            return os.dup(f.fileno())


def read_all(fd, size):
    chunks = []
    while size > 0:
        chunk = os.read(fd, size)
        if not chunk:
            break
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def write_all(fd, data):
    view = memoryview(data)
    while len(view):
        view = view[os.write(fd, view) :]


class Worker:
    def __init__(self):
        import gc
        import signal

        self.signal = signal
        self.children = {}  # pid -> Child
        # Requests and answers move out of the way, so that a function that reads or prints cannot disturb them.
        self.requests, self.answers = os.dup(0), os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)
        self.wake, wake_end = os.pipe()
        for fd in (self.wake, wake_end):
            os.set_blocking(fd, False)
        self.private = [self.requests, self.answers, self.wake, wake_end]
        signal.signal(signal.SIGCHLD, lambda *args: None)
        signal.set_wakeup_fd(wake_end)
        gc.collect()
        if hasattr(gc, "freeze"):
            gc.freeze()  # a collection in a child must not copy what it shares with this process

    def serve(self):
        import select

        poll = select.poll()
        poll.register(self.requests, select.POLLIN)
        poll.register(self.wake, select.POLLIN)
        write_all(self.answers, b"ready\n")
        partial = []
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self.wake in ready:
                os.read(self.wake, 4096)
                self.reap()
            if self.requests not in ready:
                continue
            data = os.read(self.requests, 1 << 20)
            if not data:
                break
            partial.append(data)
            if b"\n" in data:
                *lines, rest = b"".join(partial).split(b"\n")
                partial = [rest]
                for line in lines:
                    self.handle(line)
        for pid in self.children:
            self.kill(pid)

    def handle(self, line):
        verb, _, rest = line.partition(b" ")
        number, _, request = rest.partition(b" ")
        if verb == b"call":
            self.start(int(number), request)
        elif verb == b"kill":
            for pid, child in self.children.items():
                if child.number == int(number):
                    self.kill(pid)

    def start(self, number, request):
        try:
            child = Child(number)
            pid = os.fork()
        except OSError as error:
            import binascii

            text = binascii.b2a_base64(b"EXCEPTION:no process for the call: %s" % str(error).encode(), newline=False)
            write_all(self.answers, b"done %d 1 - %s \n" % (number, text))
            return
        if pid == 0:
            self.be_child(child, request)  # does not return
        self.children[pid] = child

    def be_child(self, child, request):
        code = 1
        try:
            self.settle(child)
            code = run(request, child.files[2])
        finally:
            os._exit(code)

    def settle(self, child):
        """Make the forked process look like an interpreter that has just started."""
        self.signal.set_wakeup_fd(-1)
        self.signal.signal(self.signal.SIGCHLD, self.signal.SIG_DFL)
        for fd in self.private:
            os.close(fd)
        for other in self.children.values():
            for fd in other.files:
                os.close(fd)
        os.setsid()  # one group: what the call leaves running ends with it
        os.dup2(child.files[0], 1)
        os.dup2(child.files[1], 2)
        try:
            # When memory runs out the kernel should take the call, not the interpreter that serves all of them
            with open("/proc/self/oom_score_adj", "w") as f:
                f.write("1000")
        except OSError:
            pass

    def kill(self, pid):
        for kill in (os.killpg, os.kill):  # before its setsid() the child is in our group
            try:
                kill(pid, self.signal.SIGKILL)
            except OSError:
                pass

    def reap(self):
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self.children.pop(pid, None)
            if child is None:
                continue
            try:
                os.killpg(pid, self.signal.SIGKILL)
            except OSError:
                pass
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            write_all(self.answers, child.answer(code))


def run(request, result_fd):
    """What the main program of a fresh interpreter does, up to its exit code."""
    code = 0
    try:
        result = call(json.loads(request.decode("ascii")))
        write_all(result_fd, result.encode("ascii"))
    except SystemExit as exit:
        code = exit_code(exit.code)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    finish()
    return code


def exit_code(value):
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)
    return 1


def finish():
    """The visible parts of an interpreter's end: threads are joined, exit functions run, output is flushed."""
    import atexit

    threading = sys.modules.get("threading")
    for step in (getattr(threading, "_shutdown", None), atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
        try:
            if step is not None:
                step()
        except Exception:
            pass


def main(mode, *arguments):
    if mode == "fresh":
        fresh(*arguments)
    elif not hasattr(os, "fork"):
        sys.stdout.write("nofork\n")
    else:
        Worker().serve()


arguments = sys.argv[1:]
sys.argv[1:] = []  # the function sees what `python -c` shows
main(*arguments)
