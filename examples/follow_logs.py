"""Watch what a long job prints until you have seen enough: Ctrl-C ends the watching, the end of the block the sandbox."""

import contextlib

from cwsandbox import Sandbox

JOB = "i=0; while true; do i=$((i + 1)); echo tick $i; sleep 0.2; done"

with Sandbox.run("sh", "-c", JOB) as sandbox:
    with contextlib.closing(sandbox.stream_logs(follow=True)) as lines:
        try:
            for line in lines:
                print(line, end="", flush=True)
        except KeyboardInterrupt:
            print("enough")
print(sandbox.status)
