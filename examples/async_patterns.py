"""The same calls under asyncio: await a handle, gather several, stream with `async for`."""

import asyncio

from cwsandbox import Sandbox, Session


async def one() -> None:
    async with Sandbox() as sandbox:
        process = sandbox.exec(["sh", "-c", "for i in 1 2 3; do echo line $i; done"])
        async for chunk in process.stdout:
            print(chunk, end="")
        print("exit", (await process).returncode)


async def many() -> None:
    async with Session() as session:
        processes = [session.sandbox().exec(["sh", "-c", f"echo $(({n} * {n}))"]) for n in range(5)]
        results = await asyncio.gather(*processes)
        print([int(result.stdout) for result in results])


async def main() -> None:
    await one()
    await many()


asyncio.run(main())
