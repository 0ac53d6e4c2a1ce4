"""A Python that keeps its variables between questions: what an agent's "run code" tool needs.

The interpreter runs in a sandbox and reads one JSON line per piece of code; it answers with what the code printed, or its traceback.
"""

import json

from cwsandbox import Sandbox

LOOP = """
import contextlib, io, json, sys, traceback
names = {}
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(json.loads(line), names)
        except Exception:
            traceback.print_exc(limit=0, file=printed)
    print(json.dumps(printed.getvalue()), flush=True)
"""


class Interpreter:
    """One conversation; use it as a context manager."""

    def __enter__(self):
        self.sandbox = Sandbox.run(max_lifetime_seconds=600)
        self.process = self.sandbox.exec(["python3", "-c", LOOP], stdin=True)
        self.chunks = iter(self.process.stdout)
        return self

    def run(self, code: str) -> str:
        self.process.stdin.writeline(json.dumps(code)).result()
        answer = ""
        while not answer.endswith("\n"):  # chunks are not lines
            answer += next(self.chunks)
        return json.loads(answer)

    def __exit__(self, *exc_info):
        self.process.stdin.close()
        self.sandbox.stop().result()


with Interpreter() as interpreter:
    print(interpreter.run("import math\nradius = 2"), end="")
    print(interpreter.run("print(round(math.pi * radius ** 2, 3))"), end="")
    print(interpreter.run("print(diameter)"), end="")
    print(interpreter.run("print('still here, radius is', radius)"), end="")
