"""Starts that are cancelled while the service makes the sandbox, by a program that ends right after."""

from __future__ import annotations

import subprocess
import sys

from cwsandbox import Sandbox

PROGRAM = """
import asyncio
from cwsandbox import Sandbox

async def one(i):
    task = asyncio.create_task(made())
    await asyncio.sleep(i % 11 / 1000)  # 0: it has just begun
    task.cancel()
    try:
        sandbox = await task
    except asyncio.CancelledError:
        return
    await sandbox.stop()

async def made():
    sandbox = Sandbox(tags=["abandoned"])
    await sandbox.start()
    return sandbox

async def main():
    for start in range(0, 300, 10):
        await asyncio.gather(*[one(i) for i in range(start, start + 10)])

asyncio.run(main())
"""


def test_three_hundred_cancelled_starts_leave_no_sandbox():
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], check=True, timeout=120)
    assert Sandbox.list(tags=["abandoned"]).result() == []
