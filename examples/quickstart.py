"""The first call: one sandbox, one command, gone again. Twice, because the first one also starts the service."""

import time

from cwsandbox import Sandbox

for what in ("the first time, if no service was running", "and again"):
    began = time.perf_counter()
    with Sandbox.run() as sb:
        print(sb.exec(["echo", "hello from a sandbox"]).result().stdout, end="")
        print(f"  {(time.perf_counter() - began) * 1000:.1f} ms for sandbox and command, {what}")
