"""Many threads, one client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from cwsandbox import Sandbox


def test_threads_exec_in_one_sandbox(shared):
    def work(i):
        return [shared.exec(["echo", f"{i}.{j}"]).result().stdout for j in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for i, lines in enumerate(pool.map(work, range(8))):
            assert lines == [f"{i}.{j}\n" for j in range(20)]


def test_threads_collect_one_handle(shared):
    process = shared.exec(["cat"], stdin=True)
    barrier = threading.Barrier(9)
    seen = []

    def work():
        barrier.wait()
        seen.append(process.result())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    barrier.wait()
    process.stdin.close()
    for thread in threads:
        thread.join(20)
    assert len(seen) == 8 and all(result is seen[0] for result in seen)


def test_the_gil_is_free_while_one_thread_waits(shared):
    process = shared.exec(["cat"], stdin=True)
    waiter = threading.Thread(target=process.result)
    waiter.start()
    assert sum(range(100_000)) == 4999950000  # this thread runs
    process.stdin.close()
    waiter.join(20)
    assert not waiter.is_alive()


def test_sandboxes_in_threads():
    def work(i):
        with Sandbox.run() as sandbox:
            return sandbox.exec(["sh", "-c", f"echo {i}"]).result().stdout

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(12))) == [f"{i}\n" for i in range(12)]


def test_first_use_of_one_sandbox_by_many_threads():
    sandbox = Sandbox()
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda i: sandbox.exec(["echo", str(i)]).result().stdout, range(16)))
    assert outputs == [f"{i}\n" for i in range(16)]
    assert sandbox.exec_stats["exec_count"] == 16
    sandbox.stop().result()


FIRST_USE = """
import threading
from pathlib import Path
from cwsandbox import Sandbox

def name_of(task):
    try:
        return (task / "comm").read_text()
    except FileNotFoundError:  # a thread that was joined is still listed for a moment
        return ""

def library_threads():
    return sum(name_of(task) == "cwsandbox\\n" for task in Path("/proc/self/task").iterdir())

def first():
    barrier.wait()
    Sandbox.list().result()

assert library_threads() == 0
barrier = threading.Barrier(16)
threads = [threading.Thread(target=first) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(library_threads(), threading.enumerate() == [threading.main_thread()])
"""


def test_first_use_by_many_threads_makes_one_thread_of_the_library(embedded_service):
    done = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True, timeout=60)
    assert done.stdout == "1 True\n", done.stdout + done.stderr


def test_loops_in_threads(shared):
    async def body(i):
        results = await asyncio.gather(*(shared.exec(["echo", f"{i}.{j}"]) for j in range(10)))
        return [result.stdout for result in results]

    with ThreadPoolExecutor(4) as pool:
        for i, lines in enumerate(pool.map(lambda i: asyncio.run(body(i)), range(8))):
            assert lines == [f"{i}.{j}\n" for j in range(10)]
