"""Under load: the caller's memory is bounded by the output cap, not by what commands write."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, whose peak is only its own. 1,000 x 1 MiB would be a gigabyte.
PROGRAM = """
import resource
from cwsandbox import Sandbox

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

with Sandbox.run() as sb:
    sb.exec(["true"]).result()
    before = peak()
    calls = [sb.exec(["head", "-c", "1048576", "/dev/zero"], max_output_bytes=65536) for _ in range(1000)]
    total = 0
    for call in calls:
        result = call.result()
        assert result.returncode == 0 and result.stdout_truncated, result
        total += len(result.stdout_bytes)
    assert total == 1000 * 65536, total
    print(peak() - before)
"""


def test_a_thousand_calls_in_flight_keep_the_cap_and_no_more(embedded_service):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    # What the results keep is 64 MiB as bytes and 64 MiB as text, beside the library's copy; what the commands wrote is 1 GiB.
    assert int(done.stdout) < 400 << 20, done.stdout
