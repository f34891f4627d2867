"""What a task sees of its trial, inside and outside a study."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from sweep.engine.trial import Trial, TrialPruned, current_trial, running


def test_outside_a_study_every_call_does_nothing() -> None:
    trial = sweep.current_trial()
    trial.report(1.0, step=1)
    trial.log({"loss": 1.0}, step=1)
    trial.describe(parameters=3)
    trial.attach("nothing.png")
    trial.offer_model("nothing.keras", [[1.0]])
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


def test_a_model_is_offered_with_an_example_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_text("a model")
    events: list[tuple[str, dict[str, Any]]] = []
    trial = Trial(4, lambda kind, payload: bool(events.append((kind, payload))))
    trial.offer_model("model.keras", np.ones((2, 1), np.float32), step=np.int64(7))  # type: ignore[arg-type]
    assert events == [("model", {"path": str(tmp_path / "model.keras")})]
    example = tmp_path / "model.example.json"
    assert json.loads(example.read_text()) == {"step": 7, "inputs": [[1.0], [1.0]]}
    trial.offer_model("model.keras", {"a": [[1]], "b": np.zeros((1, 2))})
    assert json.loads(example.read_text()) == {"step": 0, "inputs": {"a": [[1]], "b": [[0.0, 0.0]]}}
    for path in ("nothing.keras", "model.example.json"):
        with pytest.raises(ValueError, match=r"allowed is a Keras model's file, \*\.keras"):
            trial.offer_model(path, [[1.0]])
