"""Running the blocks of one page: Python in this process or in an IPython kernel, C with cc, sh in one bash."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import linecache
import os
import queue
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from blocks import Block, Page

SECONDS = 120  # for one block, on a slow machine
_END = "-- end of block --"

# What a page may take for granted: `<!-- given: name -->`
GIVEN = {
    "sandbox": "from cwsandbox import Sandbox\nsb = Sandbox.run().wait()\n",
}
GIVEN_END = {"sandbox": "sb.stop(graceful_shutdown_seconds=0, missing_ok=True).result()\n"}


class BlockFailed(Exception):
    """A block did not do what the page says."""


class InProcess:
    """One namespace, one event loop; `await` at the top level works as in a notebook."""

    def __init__(self) -> None:
        self.namespace: dict[str, object] = {"__name__": "__page__"}
        self.runner = asyncio.Runner()

    def run(self, code: str, name: str) -> str:
        # As for a file and for a notebook's cell: inspect.getsource() finds the code
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        compiled = compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            result = eval(compiled, self.namespace)
            if inspect.iscoroutine(result):
                self.runner.run(result)
        return printed.getvalue()

    def close(self) -> None:
        self.runner.close()


class Kernel:
    """The cells of a notebook, in a real IPython kernel."""

    def __init__(self) -> None:
        import jupyter_client

        self.manager, self.client = jupyter_client.manager.start_new_kernel(kernel_name="python3")

    def run(self, code: str, name: str) -> str:
        message_id = self.client.execute(code)
        text = ""
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=SECONDS)
            except queue.Empty:
                raise BlockFailed(f"{name} did not end") from None
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            if message["msg_type"] == "stream":
                text += content["text"]
            elif message["msg_type"] == "execute_result":
                text += content["data"]["text/plain"] + "\n"
            elif message["msg_type"] == "error":
                raise BlockFailed("\n".join(content["traceback"]))
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                return text

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


class Shell:
    """One bash in the page's directory; each block is a group of commands in it, and any failure ends it."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=directory, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._put("set -eu -o pipefail\n")

    def _put(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def run(self, code: str, name: str) -> str:
        assert self.process.stdout
        self._put("{\n" + code + "} </dev/null\necho '" + _END + "'\n")
        printed = ""
        watchdog = threading.Timer(SECONDS, self._kill)
        watchdog.start()
        try:
            for line in self.process.stdout:
                before, end, _ = line.partition(_END)
                printed += before
                if end:
                    return printed
        finally:
            watchdog.cancel()
        raise BlockFailed(f"{name}: exit code {self.process.wait()}, output:\n{printed}")

    def close(self) -> None:
        """Ends the shell and what its blocks left in the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.communicate()

    def _kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)


class PageRun:
    """A page being run. Blocks run in order: asking for one runs what is before it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.directory = Path(tempfile.mkdtemp(prefix="cwsandbox-page-"))
        self.next = 0
        self.failure: str | None = None
        self._python: InProcess | Kernel | None = None
        self._shell: Shell | None = None

    @property
    def python(self) -> InProcess | Kernel:
        if self._python is None:
            self._python = Kernel() if "notebook" in self.page.marks else InProcess()
            if given := self.page.marks.get("given"):
                self._python.run(GIVEN[given], f"<given {given}>")
        return self._python

    @property
    def shell(self) -> Shell:
        if self._shell is None:
            self._shell = Shell(self.directory)
        return self._shell

    def run_to(self, block: Block) -> str:
        """Runs the page up to this block; what this block printed."""
        printed = ""
        while self.next <= self.page.blocks.index(block):
            if self.failure:
                raise BlockFailed(f"a block before this one failed: {self.failure}")
            current = self.page.blocks[self.next]
            self.next += 1
            name = f"{self.page.name}:{current.line}"
            if save := current.marks.get("save as"):
                (self.directory / save).write_text(current.code)
            if current.reason is not None:
                continue
            self.failure = name
            printed = getattr(self, "_run_" + current.language)(current, name)
            self.failure = None
        return printed

    def _run_python(self, block: Block, name: str) -> str:
        # Tracebacks name the line of the page
        padding = "" if "notebook" in self.page.marks else "\n" * (block.line - 1)
        before = os.getcwd()
        os.chdir(self.directory)
        try:
            return self.python.run(padding + block.code, name)
        finally:
            os.chdir(before)

    def _run_sh(self, block: Block, name: str) -> str:
        return self.shell.run(block.code, name)

    def _run_c(self, block: Block, name: str) -> str:
        source = self.directory / block.marks.get("save as", f"block-{block.line}.c")
        source.write_text(block.code)
        flags = _output(["pkg-config", "--cflags", "--libs", "cwsandbox"], name).split()
        program = str(source.with_suffix(""))
        strict = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-O1"]
        _output(["cc", *strict, str(source), *flags, "-o", program], name)
        return _output([program], name)

    def close(self) -> None:
        if self._python is not None:
            if given := self.page.marks.get("given"):
                self._python.run(GIVEN_END[given], f"<end of {given}>")
            self._python.close()
        if self._shell is not None:
            self._shell.close()
        subprocess.run(["rm", "-rf", str(self.directory)], check=True)


def _output(command: list[str], name: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
    if done.returncode:
        raise BlockFailed(f"{name}: {' '.join(command)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout
