"""A Python that keeps its variables between questions: what an agent's "run code" tool needs.

The interpreter runs in a sandbox and reads one JSON line per piece of code. It answers with all that the code and its child processes
wrote, then the value of a last expression or the traceback. Code that asks for input finds its end; code that runs for too long is
interrupted, and when that does not help, ended. After that, or when it ends itself, the next piece of code finds a new interpreter.
"""

import json

from cwsandbox import Sandbox, SandboxExecutionError

LOOP = """
import ast, faulthandler, json, os, signal, sys, tempfile, traceback

SECONDS, CHARACTERS = float(sys.argv[1]), 100_000
questions, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the code's own input
names = {"__name__": "__main__"}

def too_long(*_):
    raise TimeoutError(f"interrupted after {SECONDS:g} s")

def run(code):
    tree = ast.parse(code, "<code>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<code>", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "<code>", "eval"), names)
        if value is not None:
            print(repr(value))

def answer(code):
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 1), os.dup2(output.fileno(), 2)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        signal.signal(signal.SIGALRM, too_long)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        faulthandler.dump_traceback_later(SECONDS + 2, exit=True)  # whatever the code does with exceptions and signals
        try:
            run(code)
        except BaseException as error:
            traceback.print_exception(error.with_traceback(error.__traceback__ and error.__traceback__.tb_next))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
        sys.__stdout__.flush(), sys.__stderr__.flush()
        size = output.seek(0, os.SEEK_END)
        output.seek(0)
        text = output.read(CHARACTERS).decode(errors="replace")
        return text if size <= CHARACTERS else f"{text}\\n... ({size:,} bytes)\\n"

for line in questions:
    print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
"""


class Interpreter:
    """One conversation; use it as a context manager."""

    def __init__(self, seconds: float = 10) -> None:
        """seconds: for each piece of code."""
        self.seconds = seconds

    def __enter__(self):
        self.sandbox = Sandbox.run(max_lifetime_seconds=600)
        self.start()
        return self

    def start(self) -> None:
        self.process = self.sandbox.exec(["python3", "-c", LOOP, str(self.seconds)], stdin=True, timeout_seconds=600)
        self.chunks = iter(self.process.stdout)

    def run(self, code: str) -> str:
        answer = ""
        try:
            self.process.stdin.writeline(json.dumps(code)).result()
            while not answer.endswith("\n"):  # chunks are not lines
                answer += next(self.chunks)
        except (StopIteration, SandboxExecutionError):
            self.start()
            return "The interpreter ended, and its variables are lost.\n"
        return json.loads(answer)

    def __exit__(self, *exc_info):
        self.sandbox.stop().result()


if __name__ == "__main__":
    with Interpreter() as interpreter:
        print(interpreter.run("import math\nradius = 2"), end="")
        print(interpreter.run("print(round(math.pi * radius ** 2, 3))"), end="")
        print(interpreter.run("diameter"), end="")
        print(interpreter.run("import os; os.system('echo a child may print'); 2 * radius"), end="")
        print(interpreter.run("raise SystemExit('not so fast')"), end="")
        print(interpreter.run("print('still here, radius is', radius)"), end="")
