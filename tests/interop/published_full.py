"""Run by test_published.py with the published client 1.22.0 against a service with one place: a create waits for it within its budget."""

import cwsandbox
from cwsandbox import Sandbox

first = Sandbox.run()
try:
    Sandbox.run()
    raise AssertionError("there was a second place")
except cwsandbox.SandboxResourceExhaustedError as error:
    assert error.reason == "CWSANDBOX_RUNNER_CAPACITY_EXHAUSTED" and error.retry_delay.total_seconds() > 0
print("refused", flush=True)

# Of these two one is refused at least until the other is stopped
waiting = [Sandbox(create_retry_budget_seconds=60) for _ in range(2)]
starts = [sandbox.start() for sandbox in waiting]
first.stop().result()
(one,), (other,) = cwsandbox.wait(starts, num_returns=1)
one.result()
waiting[starts.index(one)].stop().result()
other.result()
waiting[starts.index(other)].stop().result()
print("waited", flush=True)
