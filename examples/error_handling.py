"""What goes wrong, and which exception says so."""

from cwsandbox import (
    CWSandboxError,
    Sandbox,
    SandboxExecutionError,
    SandboxFileError,
    SandboxNotFoundError,
    SandboxTimeoutError,
)

with Sandbox.run() as sandbox:
    result = sandbox.exec(["sh", "-c", "exit 3"]).result()
    print("a failing command is a result:", result.returncode)

    try:
        sandbox.exec(["sh", "-c", "echo why >&2; exit 3"], check=True).result()
    except SandboxExecutionError as error:
        failed = error.exec_result
        assert failed is not None  # with check=True it is there
        print("with check=True it raises:", failed.returncode, failed.stderr.strip())

    try:
        sandbox.exec(["sleep", "60"], timeout_seconds=0.5).result()
    except SandboxTimeoutError:
        print("too slow: killed")

    try:
        sandbox.read_file("/nowhere").result()
    except SandboxFileError as error:
        print("no such file:", error.filepath)

try:
    Sandbox.delete("sb-0000000000000000").result()
except SandboxNotFoundError as error:
    print("no such sandbox:", error.sandbox_id)
Sandbox.delete("sb-0000000000000000", missing_ok=True).result()

try:
    Sandbox.list(base_url="unix:///nowhere/service.sock").result()
except CWSandboxError as error:
    print("no such service:", type(error).__name__)
