"""Many jobs on few sandboxes: a sandbox that is done takes the next job, and results are printed as they come."""

from collections import deque

import cwsandbox
from cwsandbox import SandboxDefaults, Session

JOBS = deque(range(2, 42))
CODE = "import sys; n = int(sys.argv[1]); print(all(n % d for d in range(2, n)))"

with Session(SandboxDefaults(tags=("example-batch",))) as session:
    running = {}  # process -> (its sandbox, its job)

    def give(sandbox) -> None:
        if JOBS:
            job = JOBS.popleft()
            running[sandbox.exec(["python3", "-c", CODE, str(job)], check=True)] = (sandbox, job)

    for _ in range(4):
        give(session.sandbox())
    primes = []
    while running:
        done, _still_running = cwsandbox.wait(list(running), num_returns=1)
        sandbox, job = running.pop(done[0])
        if done[0].result().stdout.strip() == "True":
            primes.append(job)
        give(sandbox)
    print(sorted(primes))
