"""The machines that sandboxes can run on, what is free on them, and a sandbox on one of them."""

from cwsandbox import Sandbox, format_bytes, format_cpu, get_runner, list_runners

for runner in list_runners(include_resources=True):
    state = "healthy" if runner.healthy else "not healthy"
    total = f"{format_cpu(runner.max_cpu_millicores)}, {format_bytes(runner.max_memory_bytes)}"
    print(runner.runner_id, f"{state}, {total},", ", ".join(runner.supported_architectures))
    free = runner.resources
    assert free is not None  # they were asked for
    cpu, memory = format_cpu(free.available_cpu_millicores), format_bytes(free.available_memory_bytes)
    print(f"free: {cpu}, {memory}; {free.running_sandboxes} running")

print("with 4096 vCPU free:", len(list_runners(min_available_cpu_millicores=4096_000)))

chosen = list_runners(healthy_only=True)[0]
with Sandbox.run(runner_ids=[chosen.runner_id]) as sandbox:
    sandbox.wait()
    print(f"ran on {sandbox.runner_id}:", sandbox.runner_id == chosen.runner_id)
assert get_runner(chosen.runner_id, organization_id=chosen.organization_id).is_shared == chosen.is_shared
