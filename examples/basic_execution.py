"""Start, run, read and write files, stop: the calls one needs first."""

from cwsandbox import Sandbox

SCRIPT = b"""
words = open("/tmp/input.txt").read().split()
open("/tmp/output.txt", "w").write(" ".join(sorted(words)))
print(len(words), "words")
"""

sandbox = Sandbox.run(tags=["example-basic"]).wait()
print(sandbox.status)

sandbox.write_file("/tmp/input.txt", b"the quick brown fox").result()
sandbox.write_file("/tmp/sort.py", SCRIPT).result()

result = sandbox.exec(["python3", "/tmp/sort.py"], check=True, timeout_seconds=30).result()
print(result.stdout, end="")
print(sandbox.read_file("/tmp/output.txt").result().decode())

sandbox.stop().result()
print(sandbox.status)
