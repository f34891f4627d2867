"""Limits of time and memory, and when a process is worn."""

import os
import subprocess
import sys
import time

import pytest

from sweep.engine.limits import GIB, Limits, memory

FREE = Limits(seconds=None, gib=None, recycle_after=3, recycle_gib=None)


def test_without_limits_nothing_is_broken() -> None:
    assert FREE.broken(1e9, os.getpid(), True) is None


def test_a_trial_that_takes_too_long_fails_and_is_not_run_again() -> None:
    limits = Limits(seconds=2.0, gib=None, recycle_after=3, recycle_gib=None)
    assert limits.broken(2.0, os.getpid(), True) is None
    outcome = limits.broken(2.1, os.getpid(), True)
    assert outcome is not None
    assert (outcome.state, outcome.retry) == ("FAIL", "never")
    assert outcome.reason == "timeout: it ran for longer than 2 s"


def test_a_trial_that_takes_too_much_says_how_much() -> None:
    limits = Limits(seconds=None, gib=memory(os.getpid()) / GIB / 2, recycle_after=3, recycle_gib=None)
    outcome = limits.broken(0.0, os.getpid(), True)
    assert outcome is not None
    assert outcome.retry == "never"
    used = limits.broken(0.0, os.getpid(), False)
    assert used is not None
    assert used.retry == "bounded", "trials before it may have left some behind"
    took = float(outcome.reason.removeprefix("memory: it took ").partition(" ")[0])
    assert took == pytest.approx(memory(os.getpid()) / GIB, abs=0.02)


def test_memory_counts_what_a_process_has_started() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'hoard = bytes(1) * 200_000_000; input()'])"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as parent:
        deadline = time.monotonic() + 20
        while memory(parent.pid) < 0.19 * GIB and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 0.19 * GIB < memory(parent.pid) < 0.4 * GIB
        parent.communicate(b"\n")


def test_a_process_that_is_gone_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert memory(process.pid) == 0


@pytest.mark.parametrize(
    ("trials", "gib", "worn"), [(2, None, False), (3, None, True), (0, 1e-3, True), (0, 1e3, False)]
)
def test_a_process_is_worn_by_trials_or_memory(trials: int, gib: float | None, worn: bool) -> None:
    assert Limits(None, None, recycle_after=3, recycle_gib=gib).worn(trials, os.getpid()) == worn
