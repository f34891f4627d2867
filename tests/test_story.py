import json
import sys
from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState

from sweep.engine.command import Command
from sweep.engine.identity import IDENTITY
from sweep.results import story as stories
from sweep.results.story import Story
from sweep.tracking.runs import study_run
from sweep.tracking.source import Source
from sweep.tracking.store import client

CONFIG = {
    "rate": 0.1,
    "storage": "postgresql://me:secret@host/db",
    "study": {"description": "Which rate?"},
    "hydra": {
        "sweeper": {"n_jobs": 2, "study_name": "planted"},
        "sweep": {"dir": "fits"},
        "overrides": {"task": ["rate=interval(0.1,1)"]},
    },
}


def test_a_studys_page_is_told_at_its_begin_now_and_then_and_at_its_end(
    open_experiment, study: optuna.Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["fit.py", "-m", "storage=postgresql://me:secret@host/db"])
    study.set_user_attr(IDENTITY, {"space": {"rate": "interval(0.1,1)"}, "fixed": {"storage": CONFIG["storage"]}})
    store = open_experiment("story")
    page = study_run(store, "planted", "id-story", {}).page(tmp_path)
    story = Story(study, page, Command.this(), OmegaConf.create(CONFIG), tmp_path)

    def run():
        assert page._tracker.flush()
        return client(store.uri).get_run(page.run.run_id)

    story.begin(Source("abc", "trunk", "a patch", ()))
    begun = run()
    assert begun.data.tags["mlflow.source.git.commit"] == "abc"
    assert begun.data.tags["sweep.state"] == "running"
    assert begun.data.tags["mlflow.note.content"].startswith("Which rate?\n\n**0 of 0 trials are done**")
    told = json.loads((tmp_path / "about/environment.json").read_text())
    assert told["slots"] == 2
    assert told["git"]["changed"] is True
    assert (tmp_path / "about/overrides.yaml").read_text() == "- rate=interval(0.1,1)\n"
    assert "hydra" not in (tmp_path / "about/config.yaml").read_text()

    study.tell(study.ask({"rate": optuna.distributions.FloatDistribution(0.1, 1)}), 2.0)
    story.update()
    assert run().data.tags["mlflow.note.content"] == begun.data.tags["mlflow.note.content"], "it was written just now"
    monkeypatch.setattr(stories, "UPDATE_SECONDS", 0.0)
    story.update()
    assert "**1 of 1 trials are done**" in run().data.tags["mlflow.note.content"]

    study.tell(study.ask(), state=TrialState.FAIL)
    story.end({0: "abc"})
    stories.end_page(page, "stopped")
    ended = run()
    assert "**2 of 2 trials are done** (1 complete, 1 fail)" in ended.data.tags["mlflow.note.content"]
    assert (ended.info.status, ended.data.tags["sweep.state"]) == ("KILLED", "stopped")
    assert ",abc," in (tmp_path / "about/leaderboard.csv").read_text()
    everything = [*ended.data.tags.values(), *(path.read_text() for path in tmp_path.glob("about/*"))]
    assert not [text for text in everything if "secret" in text]
    assert page.close() == 0


@pytest.mark.parametrize("described", [["a", "b"], "a name", {"description": "${nowhere}"}, {"description": [1]}])
def test_another_applications_key_study_may_be_anything(
    open_experiment, study: optuna.Study, tmp_path: Path, described: object
) -> None:
    page = study_run(open_experiment("story"), "planted", "id-other", {}).page(tmp_path)
    story = Story(study, page, Command.this(), OmegaConf.create({**CONFIG, "study": described}), tmp_path)
    story.begin(None)
    assert page._tracker.flush()
    note = client(page.run.store.uri).get_run(page.run.run_id).data.tags["mlflow.note.content"]
    assert note.startswith("**0 of 0 trials are done**")
    assert page.close() == 0
