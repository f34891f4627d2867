"""What a task sees of its trial, inside and outside a study."""

from pathlib import Path
from typing import Any

import pytest

import sweep
from sweep.engine.trial import Trial, TrialPruned, current_trial, running


def test_outside_a_study_every_call_does_nothing() -> None:
    trial = sweep.current_trial()
    trial.report(1.0, step=1)
    trial.log({"loss": 1.0}, step=1)
    trial.describe(parameters=3)
    trial.attach("nothing.png")
    assert trial.number is None
    assert not trial.final


def test_events_carry_plain_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    events: list[tuple[str, dict[str, Any]]] = []

    def send(kind: str, payload: dict[str, Any]) -> bool:
        events.append((kind, payload))
        return False

    with running(Trial(4, send)) as trial:
        assert current_trial() is trial
        current_trial().report(2, step=3)
        current_trial().log({"a": 1}, step=4)
        current_trial().attach("plot.png", "plots")
    assert current_trial().number is None
    assert events == [
        ("report", {"value": 2.0, "step": 3}),
        ("metrics", {"values": {"a": 1.0}, "step": 4}),
        ("artifact", {"path": str(tmp_path / "plot.png"), "folder": "plots"}),
    ]


def test_a_report_that_is_answered_with_stop_raises() -> None:
    with pytest.raises(TrialPruned, match="step 7"):
        Trial(0, lambda kind, payload: True).report(1.0, step=7)
