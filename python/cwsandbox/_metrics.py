"""What a session did, as numbers, and a Weights & Biases run as their reader.

Nothing is counted here while sandboxes work: they count for themselves (exec_stats), and the numbers are added up when somebody
asks. A sandbox is followed from its registration on; when the session forgets it, its numbers go into the totals.

wandb is never imported: a run can only exist when the program has imported it, so sys.modules is enough to look for one.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._sandbox import Sandbox

PREFIX = "cwsandbox/"


class Spread:
    """Number, sum, least and greatest of some values."""

    def __init__(self) -> None:
        self.n, self.total = 0, 0.0
        self.least = self.greatest = 0.0

    def add(self, value: float) -> None:
        self.least = min(self.least, value) if self.n else value
        self.greatest = max(self.greatest, value) if self.n else value
        self.n += 1
        self.total += value

    def copy(self) -> Spread:
        other = Spread()
        other.__dict__.update(self.__dict__)
        return other

    def report(self, name: str) -> dict[str, float]:
        if not self.n:
            return {}
        return {
            f"{PREFIX}avg_{name}": self.total / self.n,
            f"{PREFIX}min_{name}": self.least,
            f"{PREFIX}max_{name}": self.greatest,
        }


class Followed:
    """One sandbox, and which of its numbers were reported before."""

    def __init__(self, sandbox: Sandbox, since_now: bool) -> None:
        self.sandbox = sandbox
        self.base = outcomes(sandbox) if since_now else (0, 0, 0)
        self.started = since_now and sandbox.sandbox_id is not None  # its start was reported, or was not ours

    def new(self) -> tuple[int, ...]:
        return tuple(now - then for now, then in zip(outcomes(self.sandbox), self.base))


class Sums:
    """What get_metrics() reports."""

    def __init__(self) -> None:
        self.created = 0
        self.outcomes = [0, 0, 0]
        self.per_sandbox, self.startup = Spread(), Spread()

    def copy(self) -> Sums:
        other = Sums()
        other.created, other.outcomes = self.created, list(self.outcomes)
        other.per_sandbox, other.startup = self.per_sandbox.copy(), self.startup.copy()
        return other

    def add(self, followed: Followed) -> None:
        new = followed.new()
        for i, n in enumerate(new):
            self.outcomes[i] += n
        if sum(new) and followed.sandbox.sandbox_id is not None:
            self.per_sandbox.add(sum(new))
        seconds = None if followed.started else followed.sandbox._startup_seconds
        if seconds is not None:
            self.startup.add(seconds)


class WandbReporter:
    """The numbers of one session; see the head of this file."""

    def __init__(self) -> None:
        self._sums = Sums()  # of sandboxes that are no longer followed
        self._followed: dict[int, Followed] = {}  # by id() of the sandbox
        self._run: Any = None

    # ---- told by the session

    def created(self, sandbox: Sandbox) -> None:
        self._sums.created += 1
        self._followed[id(sandbox)] = Followed(sandbox, since_now=False)

    def adopted(self, sandbox: Sandbox) -> None:
        if id(sandbox) not in self._followed:
            self._followed[id(sandbox)] = Followed(sandbox, since_now=True)

    def forgotten(self, sandbox: Sandbox) -> None:
        followed = self._followed.pop(id(sandbox), None)
        if followed is not None:
            self._sums.add(followed)

    # ---- asked by the user

    def metrics(self) -> dict[str, float]:
        sums = self._sums.copy()
        for followed in list(self._followed.values()):
            sums.add(followed)
        ok, nonzero, failures = sums.outcomes
        n = ok + nonzero + failures
        numbers: dict[str, float] = {
            f"{PREFIX}sandboxes_created": sums.created,
            f"{PREFIX}executions": n,
            f"{PREFIX}exec_completed_ok": ok,
            f"{PREFIX}exec_completed_nonzero": nonzero,
            f"{PREFIX}exec_failures": failures,
        }
        if n:
            numbers[f"{PREFIX}exec_completion_rate"] = ok / n
            numbers[f"{PREFIX}exec_failure_rate"] = failures / n
        if sums.startup.n:
            numbers[f"{PREFIX}startup_count"] = sums.startup.n
            numbers |= sums.startup.report("startup_seconds")
        if self.run() is not None:
            numbers |= sums.per_sandbox.report("execs_per_sandbox")
        return numbers

    def log(self, step: int | None = None, *, reset: bool = True) -> bool:
        """Send the numbers to the run. False: there is no run, nothing happened yet, or the run refused."""
        run = self.run()
        if run is None:
            return False
        numbers = self.metrics()
        if not any(numbers.values()):
            return False
        try:
            run.log(numbers) if step is None else run.log(numbers, step=step)
        except Exception as error:
            import logging

            logging.getLogger(__name__).warning("could not log metrics to W&B: %s", error)
            return False
        if reset:
            self.reset()
        return True

    def reset(self) -> None:
        """Count from zero."""
        self._sums = Sums()
        for key, followed in list(self._followed.items()):
            started = followed.started or followed.sandbox._startup_seconds is not None
            self._followed[key] = again = Followed(followed.sandbox, since_now=True)
            again.started = started

    def run(self) -> Any:
        """The program's W&B run; looked for until there is one, then kept. Never made."""
        if self._run is None:
            self._run = getattr(sys.modules.get("wandb"), "run", None)
        return self._run


def outcomes(sandbox: Sandbox) -> tuple[int, int, int]:
    """(completed well, with another exit code, failed) of its commands, or of the function calls it serves."""
    calls = sandbox._calls
    if calls is not None:
        return calls[0], calls[1], calls[2]
    stats = sandbox.exec_stats
    return stats["exec_completed_ok"], stats["exec_completed_nonzero"], stats["exec_failures"]


def wanted(report_to: list[str] | None) -> bool:
    """Whether a session with this report_to keeps numbers."""
    if report_to is None:
        return True
    unknown = [name for name in report_to if name != "wandb"]
    if unknown:
        import logging

        logging.getLogger(__name__).warning("report_to: %s is not known and is ignored", ", ".join(map(repr, unknown)))
    return "wandb" in report_to
