"""The client peer: the same execs through grpcio's asyncio client against the same service. Prints JSON.

    grpcio_client.py SOCKET GENERATED_DIR IN_FLIGHT
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


async def main(socket: str, in_flight: int) -> dict[str, float]:
    import grpc
    from coreweave.sandbox.v1 import sandbox_pb2 as pb

    service = "/coreweave.sandbox.v1.SandboxService/"
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:

        def unary(name: str, request: type, response: type):
            return channel.unary_unary(service + name, request.SerializeToString, response.FromString)

        create = unary("CreateSandbox", pb.CreateSandboxRequest, pb.Sandbox)
        delete = unary("DeleteSandbox", pb.DeleteSandboxRequest, pb.DeleteSandboxResponse)
        stream = channel.stream_stream(service + "StreamExec", pb.ExecStreamRequest.SerializeToString,
                                       pb.ExecStreamResponse.FromString)
        spec = pb.SandboxSpec(containers=[pb.Container(name="main", image="host")])
        sandbox = await create(pb.CreateSandboxRequest(sandbox=pb.Sandbox(spec=spec)))

        async def run_one() -> None:
            call = stream()
            await call.write(pb.ExecStreamRequest(init=pb.ExecStreamInit(sandbox_id=sandbox.sandbox_id,
                                                                        command=["/bin/echo", "hello"])))
            await call.done_writing()
            async for response in call:
                if response.WhichOneof("message") == "exit":
                    return

        await run_one()
        before, began = time.process_time(), time.perf_counter()
        await asyncio.gather(*[run_one() for _ in range(in_flight)])
        result = {"ms_per_exec": (time.process_time() - before) * 1000 / in_flight,
                  "execs_per_second": in_flight / (time.perf_counter() - began), "in_flight": in_flight}
        await delete(pb.DeleteSandboxRequest(sandbox_id=sandbox.sandbox_id))
        return result


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[2])
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[3])))))
