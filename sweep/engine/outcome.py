"""What a trial can come to: the one place where a return value, an exception or a death becomes a trial state."""

from __future__ import annotations

import math
import signal
import traceback as tb
from dataclasses import dataclass
from typing import Any, Literal

from sweep.engine.redact import redact
from sweep.engine.trial import TrialPruned

State = Literal["COMPLETE", "PRUNED", "FAIL"]
Retry = Literal["always", "bounded", "never"]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; without anything secret, whatever was raised.

    Attributes:
        state: Optuna's name of the state.
        values: the objective's values of a complete trial.
        reason: why it was pruned or failed, in a few words.
        traceback: of the exception that ended it.
        retry: whether the same trial is to be run again: "always" if it was none of its doing, "bounded" if it may have
            been, "never" if it would end in the same way.
    """

    state: State
    values: tuple[float, ...] = ()
    reason: str = ""
    traceback: str = ""
    retry: Retry = "never"

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", redact(self.reason))
        object.__setattr__(self, "traceback", redact(self.traceback))


def returned(value: Any, objectives: int) -> Outcome:
    """The outcome of a task that returned `value`: one number, or a sequence of as many as there are objectives."""
    values = value if isinstance(value, list | tuple) else [value]
    try:
        numbers = tuple(float(number) for number in values)
    except (TypeError, ValueError):
        return Outcome("FAIL", reason=f"the task returned {value!r}, allowed is {_numbers(objectives)}")
    if len(numbers) != objectives:
        return Outcome("FAIL", reason=f"the task returned {value!r}, allowed is {_numbers(objectives)}")
    if not all(map(math.isfinite, numbers)):
        return Outcome("PRUNED", reason="diverged")  # not FAIL: a sampler ignores failures and proposes them again
    return Outcome("COMPLETE", values=numbers)


def raised(error: BaseException) -> Outcome:
    """The outcome of a task that raised `error`; Optuna's own TrialPruned counts like ours."""
    if isinstance(error, TrialPruned) or type(error).__name__ == "TrialPruned":
        return Outcome("PRUNED", reason=str(error) or "pruned")
    trace = "".join(tb.format_exception(error))
    return Outcome("FAIL", reason=f"exception: {type(error).__name__}: {error}", traceback=trace)


def died(exit_code: int | None) -> Outcome:
    """The outcome of a trial whose process ended before it had a result. `exit_code` as in `subprocess`."""
    if exit_code is not None and -exit_code in set(signal.Signals):
        reason = f"crash: {signal.Signals(-exit_code).name}"
    else:
        reason = f"crash: exit status {exit_code}"
    return Outcome("FAIL", reason=reason, retry="bounded")


def not_started(error: OSError) -> Outcome:
    """The outcome of a trial for which no process could be started, for want of memory or descriptors, say."""
    return Outcome("FAIL", reason=f"crash: no process could be started: {error}", retry="bounded")


def timed_out(seconds: float) -> Outcome:
    """The outcome of a trial that took longer than a trial may; it would take as long again."""
    return Outcome("FAIL", reason=f"timeout: it ran for longer than {seconds:g} s")


def too_large(used: float, allowed: float, fresh: bool) -> Outcome:
    """The outcome of a trial whose process took more memory, in GiB, than a trial may.

    In a `fresh` process it would take as much again; otherwise trials before it may have left some behind.
    """
    reason = f"memory: it took {used:.2f} GiB, allowed are {allowed:g} GiB"
    return Outcome("FAIL", reason=reason, retry="never" if fresh else "bounded")


def repeated(number: int, values: tuple[float, ...]) -> Outcome:
    """The outcome of a trial whose params were scored before, by the trial of this number."""
    return Outcome("COMPLETE", values=values, reason=f"repeat: trial {number} had the same params")


def infeasible(constraint: str) -> Outcome:
    """The outcome of a trial for which no params were found that fulfil the constraints of the search space."""
    return Outcome("PRUNED", reason=f"constraint: no point was proposed that fulfils {constraint}")


def orphaned() -> Outcome:
    """The outcome of a trial whose agent is gone."""
    return Outcome("FAIL", reason="orphan: its agent is gone", retry="always")


def stopped() -> Outcome:
    """The outcome of a trial that the user interrupted."""
    return Outcome("FAIL", reason="stopped: the study was interrupted", retry="always")


def run_state(outcome: Outcome) -> str:
    """What the tracker calls the end of a trial: like Optuna, but what was interrupted did not fail."""
    return "STOPPED" if outcome.retry == "always" else outcome.state


def _numbers(objectives: int) -> str:
    return "a number" if objectives == 1 else f"a sequence of {objectives} numbers"
