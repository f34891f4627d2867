"""What is confirmed, and what is refused before anything is trained."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, create_trial
from recomposing import BEST, study_of

from sweep.cli import task
from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.lease import Lease
from sweep.engine.recomposed import Recomposed
from sweep.engine.storage import open_storage
from sweep.engine.study import CONFIGURATION, NOT_COMPARABLE
from sweep.engine.supervisor import SWEEPER
from sweep.paths import Paths
from sweep.preflight import check_comparable
from sweep.recompose import recomposed
from sweep.results.ablate import ablate
from sweep.results.candidates import baselines_of, best_of
from sweep.results.catalogue import find
from sweep.results.champion import best_validated, crown, uncrown
from sweep.results.confirm import confirm

pytestmark = pytest.mark.usefixtures("logs")

BASELINES = (
    "+hydra.sweeper.baselines.same=['model.depth=4','model.width=64','train.loss=mae','data.target_scale=2']",
    "+hydra.sweeper.baselines.other=['model.depth=1']",
)
OTHER = ("model.depth=2", "model.width=64")


def unsaid(_text: str) -> None:
    raise AssertionError("nothing is said before what is wrong")


def unchecked(_config: Any) -> None:
    """Takes every configuration."""


def test_the_best_are_the_best_that_differ(tmp_path: Path) -> None:
    trials = [(-1.0, BEST), (-3.0, OTHER), (-2.0, OTHER), (-0.5, ("model.depth=1",))]
    with study_of(tmp_path, *trials) as again:
        assert [(each.name, each.score) for each in best_of(again, 2)] == [("trial 1", -3.0), ("trial 0", -1.0)]
        assert len(best_of(again, 9)) == 3
        assert best_of(again, 1)[0].configuration.config.model.depth == 2


def test_seed_and_threads_of_a_trial_are_no_part_of_what_it_is(tmp_path: Path) -> None:
    with study_of(tmp_path, (-1.0, BEST), (-0.5, BEST), fixed=["seed=7"]) as again:
        (only,) = best_of(again, 9)
        assert only.configuration.overrides == ("tracking=none", "evaluation.size=100", "seed=7", *BEST)


def test_baselines_are_judged_as_the_study_is_and_have_the_score_that_they_reached(tmp_path: Path) -> None:
    with study_of(tmp_path, fixed=BASELINES) as again:
        beside = create_or_resume(open_storage(None, again.home), "s.baselines", Identity({}, {}, {}, ["minimize"]), 3)
        lines = ["tracking=none", "model.depth=1", "evaluation.size=100"]
        beside.add_trial(create_trial(value=-0.25, user_attrs={CONFIGURATION: {"name": "other", "overrides": lines}}))
        same, other = baselines_of(again)
        assert (same.name, same.score, other.name, other.score) == ("same", None, "other", -0.25)
        assert other.configuration.config.evaluation.size == 100
        assert same.configuration.identity == best_of(again, 1)[0].configuration.identity


def test_a_baseline_that_is_not_what_it_was_has_no_score(tmp_path: Path) -> None:
    with study_of(tmp_path, fixed=BASELINES[1:]) as again:
        beside = create_or_resume(open_storage(None, again.home), "s.baselines", Identity({}, {}, {}, ["minimize"]), 3)
        (other,) = baselines_of(again)
        asked = {"name": "other", "overrides": list(other.configuration.overrides)}
        about = {CONFIGURATION: asked, "output_dir": str(tmp_path / "it")}
        beside.add_trial(create_trial(value=-0.25, user_attrs=about))
        folder = tmp_path / "it/.hydra"
        folder.mkdir(parents=True)
        OmegaConf.save(other.configuration.config, folder / "config.yaml")
        assert baselines_of(again)[0].score == -0.25
        changed = other.configuration.config.copy()
        changed.train.batch_size = 77
        OmegaConf.save(changed, folder / "config.yaml")
        assert baselines_of(again)[0].score is None


@pytest.mark.parametrize(
    "line", ["objective=rmse", "direction=maximize", "compared_by=[]", "seed_key=null", "n_trials=9"]
)
def test_what_is_trained_judged_or_compared_is_not_to_be_said_again(tmp_path: Path, line: str) -> None:
    with study_of(tmp_path):
        pass
    entry = find(Paths(tmp_path), "s")
    with (
        pytest.raises(UserError, match=r"OVERRIDES: got .*hydra\.sweeper\.n_jobs, .*: all else is the study's"),
        recomposed(Paths(tmp_path), entry, task, [f"hydra.sweeper.{line}"]),
    ):
        pass
    with recomposed(Paths(tmp_path), entry, task, ["hydra.sweeper.n_jobs=1", "hydra/launcher=basic"]) as again:
        assert again.settings.n_jobs == 1


def test_ctrl_c_before_anything_has_begun_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with study_of(tmp_path, fixed=BASELINES) as again:
        monkeypatch.setattr(again.sweeper, "follow_up", lambda *_: True)
        assert confirm(again, 3, 5, lambda _: None)


def refused(again: Recomposed, said: str, top: int = 3) -> None:
    with pytest.raises(UserError, match=said):
        confirm(again, top, 5, unsaid)


def test_there_must_be_something_to_compare(tmp_path: Path) -> None:
    with study_of(tmp_path) as again:
        refused(again, "--top: got 3, which leaves trial 0 alone, allowed is at least two configurations that differ")
    with study_of(tmp_path / "b", fixed=BASELINES[:1]) as again:
        refused(again, "--top: got 1, which leaves trial 0 alone", top=1)
    with study_of(tmp_path / "c") as again:
        again.study._storage.delete_study(again.study._study_id)
        create_or_resume(open_storage(None, again.home), "s", Identity({}, {}, {}, ["minimize"]), 3)
        empty = optuna.load_study(study_name="s", storage=open_storage(None, again.home))
        object.__setattr__(again, "study", empty)
        refused(again, "of which no feasible trial is complete")


def test_there_must_be_one_objective_and_one_that_the_test_set_has(tmp_path: Path) -> None:
    with study_of(tmp_path, directions=[StudyDirection.MINIMIZE, StudyDirection.MINIMIZE]) as again:
        refused(again, "which has 2 objectives, allowed is a study with one objective")
    with study_of(tmp_path / "b") as again:
        again.settings.objective = "train/loss"
        refused(again, "whose objective is train/loss, allowed is a study whose objective is an error measure")


def test_there_must_be_something_to_change(tmp_path: Path) -> None:
    with (
        study_of(tmp_path, fixed=BASELINES) as again,
        pytest.raises(UserError, match="which is what trial 0, the best"),
    ):
        ablate(again, "same", 3, None, (), unchecked, check_comparable, unsaid)


@pytest.mark.parametrize(
    ("metric", "own", "said"),
    [
        ("val/loss", "train.loss=mse", "train.loss is another one in baseline begin"),
        ("val/loss", "data.target_scale=5", "data.target_scale is another one in baseline begin"),
        ("val/log10_rel_error", "train.loss=mse", None),
    ],
)
def test_a_way_begins_where_the_objective_means_the_same(
    tmp_path: Path, metric: str, own: str, said: str | None
) -> None:
    begin = [*BEST[:2], *(line for line in BEST[2:] if line.partition("=")[0] != own.partition("=")[0]), own]
    lines = ",".join(f"'{line}'" for line in begin)
    fixed = [f"objective.metric={metric}", f"+hydra.sweeper.baselines.begin=[{lines}]"]

    def told(text: str) -> None:
        raise InterruptedError(text)

    with study_of(tmp_path, fixed=fixed) as again:
        with pytest.raises(UserError if said else InterruptedError, match=said or "1 changes"):
            ablate(again, "begin", 3, None, (), unchecked, check_comparable, told)
        again.study.set_user_attr(NOT_COMPARABLE, "it was forced")
        with pytest.raises(InterruptedError, match="1 changes"):
            ablate(again, "begin", 3, None, (), unchecked, check_comparable, told)


def test_a_study_that_runs_is_left_alone(tmp_path: Path) -> None:
    with study_of(tmp_path) as again:
        Lease(again.study, SWEEPER).beat()
    with pytest.raises(UserError, match=r"'s', which process \d+ on .* runs"), study_of(tmp_path):
        pass


def test_its_command_is_composed_where_it_was_typed_and_its_trials_are_run_by_it(tmp_path: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/wide.yaml").write_text("# @package _global_\nmodel:\n  width: 96\n")
    options = ("-m", "--config-dir", "mine")
    with study_of(
        tmp_path, fixed=["+experiment=wide"], program=["sweep", "--root", "r", "run"], options=options
    ) as again:
        assert again.config.model.width == 96
        assert again.sweeper._command.single(["seed=1"]) == "sweep --root r run --config-dir mine seed=1"


def test_a_study_of_another_application_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(UserError, match="STUDY: got 's', allowed is a study of `sweep run`"),
        study_of(tmp_path, program=["python", "fit.py"]),
    ):
        pass


def training(number: int, best: float) -> FrozenTrial:
    about = {"metrics": {"best/rmse": best, "test/rmse": 9.0 - best}, "output_dir": f"here/{number}"}
    trial = create_trial(value=9.0 - best, user_attrs=about)
    trial.number = number
    return trial


@pytest.mark.parametrize(("direction", "chosen"), [("minimize", 1), ("maximize", 2)])
def test_the_champions_model_is_that_of_the_training_that_validates_best(direction: str, chosen: int) -> None:
    study = optuna.create_study(direction=direction)
    trainings = [training(0, 0.5), training(1, 0.25), training(2, 0.75)]
    assert best_validated(study, trainings, "val/rmse").number == chosen


def test_a_model_that_cannot_be_registered_is_said_to_be_where_it_is() -> None:
    study = optuna.create_study()
    said = crown(study, [training(0, 0.5)], "val/rmse", Path("f"), "s")
    assert said.startswith("Its model, in here/0, is not registered. --register: got study ")
    assert uncrown(study, "s") is None
