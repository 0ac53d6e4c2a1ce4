"""Limits, the environment and files of a sandbox with a main process, and its log while it runs."""

from cwsandbox import ResourceOptions, Sandbox

sandbox = Sandbox(
    command="sh",
    args=["-c", "cat /etc/job.conf; for i in 1 2 3; do echo $GREETING $i; sleep 0.2; done; exit 5"],
    environment_variables={"GREETING": "step"},
    mounted_files=[{"mount_path": "/etc/job.conf", "file_content": "level = 3\n"}],
    resources=ResourceOptions(requests={"cpu": "250m"}, limits={"cpu": "1", "memory": "128Mi"}),
    max_lifetime_seconds=60,
)
sandbox.start().result()
for line in sandbox.stream_logs(follow=True):
    print(line, end="")
sandbox.wait_until_complete().result()
print(sandbox.status, sandbox.returncode, sandbox.resource_limits)

with Sandbox.run(resources={"memory": "64Mi"}) as sandbox:
    hog = sandbox.exec(["python3", "-c", "x = bytearray(256 << 20)"]).result()
    print("over its memory limit:", hog.returncode)
