"""Calls of a Python function in sandboxes: one, many, and one that fails."""

from cwsandbox import SandboxDefaults, SandboxExecutionError, Session

with Session(SandboxDefaults(tags=("example-function",))) as session:

    @session.function()
    def mean(values: list) -> float:
        import statistics

        return statistics.fmean(values)

    print(mean.remote([1, 2, 3, 4]).result())
    print([ref.result() for ref in mean.map([([n, n + 1],) for n in range(5)])])
    try:
        mean.remote([]).result()
    except SandboxExecutionError as error:
        print("failed in the sandbox:", error.exception_type, "-", error.exception_message)
