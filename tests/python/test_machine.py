"""Programs inside size themselves by the sandbox's limits, not by the machine."""

import os
import shutil

import pytest
from cwsandbox import Sandbox, SandboxError

MEMORY = 512 << 20
HALF_A_CPU = {"cpu": "500m", "memory": str(MEMORY)}

# What each prints, with these limits. The programs are the machine's: of those that it does not have nothing is known.
PROGRAMS = {
    "nproc": (["nproc"], "1"),
    "lscpu": (["sh", "-c", "LC_ALL=C lscpu | sed -n 's/^CPU(s): *//p'"], "1"),
    "python3": (["/usr/bin/python3", "-c", "import os; print(os.cpu_count(), len(os.sched_getaffinity(0)))"], "1 1"),
    "threads": (["sh", "-c", "echo $OMP_NUM_THREADS $OPENBLAS_NUM_THREADS $MKL_NUM_THREADS $GOMAXPROCS"], "1 1 1 1"),
    "java": (["sh", "-c", "java -XX:+PrintFlagsFinal -version 2>/dev/null | awk '$2 == \"MaxHeapSize\" { print $4 }'"], str(MEMORY // 4)),
    "node": (["node", "-p", "process.constrainedMemory() + ' ' + os.availableParallelism()"], f"{MEMORY} 1"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_size_themselves_by_the_limits(program: str) -> None:
    if program != "threads" and not shutil.which(program, path="/usr/bin:/bin"):
        pytest.skip(f"no {program} here")
    command, expected = PROGRAMS[program]
    try:
        sandbox = Sandbox.run(resources=HALF_A_CPU).wait()
    except SandboxError as error:
        if os.geteuid() != 0 and "memory" in str(error):
            pytest.skip("no cgroup of this user limits memory")
        raise
    with sandbox:
        assert sandbox.exec(command, check=True).result().stdout.strip() == expected


def test_the_callers_thread_counts_win_and_without_a_limit_there_are_none(shared) -> None:
    assert shared.exec(["sh", "-c", "env | grep -c _NUM_THREADS"]).result().stdout == "0\n"
    result = shared.exec(["sh", "-c", "echo $OMP_NUM_THREADS"], env={"OMP_NUM_THREADS": "7"}).result()
    assert result.stdout == "7\n"
