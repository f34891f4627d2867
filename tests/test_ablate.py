"""The way from a baseline to a study's best: what a change is, and which comes next. Nothing is trained here."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import optuna
import pytest
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState, create_trial
from recomposing import BEST, study_of

from sweep.engine.errors import UserError
from sweep.engine.recomposed import Recomposed
from sweep.engine.study import CONFIGURATION
from sweep.preflight import TOGETHER, check_values
from sweep.results import ablation, ablation_shown
from sweep.results.ablation import Ablation
from sweep.results.candidates import best_of
from sweep.results.changes import Between, Content, changes
from sweep.results.trainings import Trainings
from sweep.results.walk import Step, Walk

Score = Callable[[DictConfig], float]


pytestmark = pytest.mark.usefixtures("logs")


def ends(again: Recomposed, *own: str) -> tuple[Content, Content]:
    (best,) = best_of(again, 1)
    return Content.of(again, again.framed("begin", own)), Content.of(again, best.configuration)


def names(start: Content, end: Content) -> list[str]:
    return [change.name for change in changes(start, end, TOGETHER)]


def test_a_change_is_that_of_one_key(tmp_path: Path) -> None:
    with study_of(tmp_path) as again:
        start, end = ends(again, "model.depth=2")
        assert names(start, end) == ["target_scale: 5 → 2", "depth: 2 → 4", "width: 128 → 64", "loss: mse → mae"]
        assert names(end, end) == []


def test_what_is_judged_by_seed_and_where_things_are_kept_is_no_change(tmp_path: Path) -> None:
    with study_of(tmp_path) as again:
        start, end = ends(
            again, *BEST, "evaluation.seed=1", "objective=rmse", "seed=9", "train.threads=2", "tracking=none"
        )
        assert names(start, end) == []


def test_an_option_with_keys_of_its_own_and_a_schedule_are_one_change_each(tmp_path: Path) -> None:
    best = ("model=gated", "model.width=32", "schedule=cosine", "data.determinant.rule=relative")
    with study_of(tmp_path, (-1.0, best)) as again:
        start, end = ends(again, "model=dense", "model.width=8", "model.depth=6", "model.activation=silu")
        found = {change.name: change for change in changes(start, end, TOGETHER)}
        gated, cosine = found["model: dense → gated"], found["schedule: constant → cosine"]
        assert gated.choices == {"model": "gated"}
        assert gated.values["model._target_"] == "models.gated.gated"
        assert "model.width" not in gated.values, "both have it"
        assert gated.removed
        assert set(cosine.values) == {"schedule.decay", "schedule.warmup", "schedule.final"}
        assert "width: 8 → 32" in found
        assert found["determinant: above → relative"].values == {"data.determinant.rule": "relative"}


@pytest.mark.parametrize("origin", ["question", "answer"])
@pytest.mark.parametrize("best", [BEST, ("model=gated", "optimizer=adamw", "train.max_steps=100", "schedule=cosine")])
def test_the_way_begins_at_the_one_and_ends_at_the_other(tmp_path: Path, origin: str, best: tuple[str, ...]) -> None:
    with study_of(tmp_path, (-1.0, best)) as again:
        start, end = ends(again, f"+experiment={origin}")
        between = Between(again, end, check_values)
        assert between.compose("x", start).identity == again.framed("x", [f"+experiment={origin}"]).identity
        applied = start
        for change in changes(start, end, TOGETHER):
            applied = change.apply(applied)
        assert between.compose("x", applied).identity == best_of(again, 1)[0].configuration.identity


def test_what_cannot_be_made_alone_is_made_together_or_later(tmp_path: Path) -> None:
    with study_of(tmp_path, (-1.0, ("train.max_steps=100",))) as again:
        start, end = ends(again, "data.num_samples=64", "train.max_steps=null", "train.epochs=3")
        parts = changes(start, end, TOGETHER)
        assert {part.name for part in parts} == {"num_samples: 64 → null", "epochs: 3 → null", "max_steps: null → 100"}
        between = Between(again, end, check_values)
        ((both, made),), reasons = between.options(start, parts)
        assert {part.name for part in both} == {"epochs: 3 → null", "max_steps: null → 100"}
        assert (made.config.train.epochs, made.config.train.max_steps) == (None, 100)
        assert set(reasons) == {part.name for part in parts}
        assert "train.epochs: got 3, allowed is null, as the stream is endless" in reasons["num_samples: 64 → null"]


def planted(config: DictConfig) -> float:
    """What each change brings: depth 1, width 0.3, the loss nothing; the scale hurts."""
    found = (config.model.depth == 4) * -1.0 + (config.model.width == 64) * -0.3
    return float(found + (config.data.target_scale == 2) * 0.5)


@dataclass(frozen=True)
class Ways:
    """Ways from one beginning to one end, whose configurations are composed once for all tests."""

    again: Recomposed
    between: Between
    start: Content
    end: Content
    configs: dict[str, DictConfig] = field(default_factory=dict)

    def walk(self, most: int | None = None) -> Walk:
        begin = self.again.framed("begin", ())
        return Walk(self.between, begin, self.start, changes(self.start, self.end, TOGETHER), most, 0, minimize=True)

    def train(self, way: Walk, score: Score, seeds: list[int], study: optuna.Study) -> list[int]:
        """Gives every training that is wanted its score, until none is; returns how many there were each time."""
        rounds = []
        while asked := (there := Trainings(study, 3)).unfinished(way.wanted(there, seeds)):
            rounds.append(len(asked))
            for each in asked:
                if each["identity"] not in self.configs:
                    made = self.again.configuration(each["name"], each["overrides"])
                    self.configs[made.identity] = made.config
                value = score(self.configs[each["identity"]])
                value += 0.01 * math.sin(each["seed"] * 7 + len(study.trials))
                state = TrialState.COMPLETE if math.isfinite(value) else TrialState.PRUNED
                values = [value] if math.isfinite(value) else None
                study.add_trial(create_trial(state=state, values=values, user_attrs={CONFIGURATION: each}))
        return rounds


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ways]:
    with study_of(tmp_path_factory.mktemp("root")) as again:
        start, end = ends(again)
        yield Ways(again, Between(again, end, check_values), start, end)


def concluded(way: Walk, study: optuna.Study, seeds: list[int]) -> Ablation:
    found = Trainings(study, 3)
    steps = way.way(found).steps
    scores = found.scores([step.configuration for step in steps], seeds)
    return ablation.conclude("val/log10_rel_error", True, "begin", "trial 0", seeds, steps, scores)


@pytest.fixture
def beside() -> optuna.Study:
    return optuna.create_study()


def test_the_most_helpful_comes_first_and_all_are_named(ways: Ways, beside: optuna.Study, tmp_path: Path) -> None:
    seeds = [1, 2, 3, 4]
    way = ways.walk()
    rounds = ways.train(way, planted, seeds, beside)
    found = concluded(way, beside, seeds)
    named = ["begin", "depth: 3 → 4", "width: 128 → 64", "loss: mse → mae", "target_scale: 5 → 2"]
    assert [row.change for row in found.rows] == named
    assert [row.effect for row in found.rows] == ["", "helps", "helps", "nothing shown", "hurts"]
    assert found.rows[1].gain is not None
    assert found.rows[1].gain.mean == pytest.approx(1.0, abs=0.02)
    assert found.total is not None
    assert found.total.mean == pytest.approx(0.8, abs=0.03)
    assert [len(row.screened) for row in found.rows] == [0, 4, 3, 2, 0]
    assert sum(rounds) == 4 + 3 + 2 + 5 * 4, "each change that is left with one seed, each step with four"
    said = " ".join(ablation_shown.sentences(found))
    assert "Helps: depth: 3 → 4 (+1" in said
    assert "Hurts: target_scale: 5 → 2 (-0." in said
    assert "Not shown to do anything: loss: mse → mae" in said
    picture, as_csv, as_json = ablation_shown.save(found, tmp_path / "ablate")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert len(as_csv.read_text().splitlines()) == 1 + 5
    assert json.loads(as_json.read_text())["rows"][4]["effect"] == "hurts"


def test_more_seeds_need_the_missing_trainings_alone(ways: Ways, beside: optuna.Study) -> None:
    way = ways.walk()
    ways.train(way, planted, [1, 2], beside)
    before = [step.configuration.name for step in way.way(Trainings(beside, 3)).steps]
    assert sum(ways.train(way, planted, [1, 2, 3], beside)) == 5
    assert [step.configuration.name for step in way.way(Trainings(beside, 3)).steps] == before


def test_a_limit_makes_the_rest_in_one(ways: Ways, beside: optuna.Study) -> None:
    way = ways.walk(most=1)
    ways.train(way, planted, [1, 2], beside)
    steps = way.way(Trainings(beside, 3)).steps
    assert [step.change.name for step in steps if step.change] == ["depth: 3 → 4", "the other 3 changes"]
    assert steps[2].configuration.identity == best_of(ways.again, 1)[0].configuration.identity


def test_what_diverges_comes_last_and_hurts(ways: Ways, beside: optuna.Study) -> None:
    def diverging(config: DictConfig) -> float:
        return math.nan if config.train.loss.name == "mae" else planted(config)

    way = ways.walk()
    seeds = [1, 2, 3, 4, 5]
    ways.train(way, diverging, seeds, beside)
    found = concluded(way, beside, seeds)
    assert found.rows[-1].change == "loss: mse → mae"
    assert (found.rows[-1].effect, found.rows[-1].diverged) == ("hurts", 5)
    assert "5 diverged" in " ".join(ablation_shown.cells(found.rows[-1]))
    assert "Hurts: target_scale: 5 → 2 (-0." in (said := " ".join(ablation_shown.sentences(found)))
    assert "loss: mse → mae (5 diverged)" in said
    few = concluded(way, beside, seeds[:3])
    assert few.rows[-1].effect == "nothing shown", "three that diverge may be chance, of six"


def test_one_training_that_diverged_is_no_effect(ways: Ways) -> None:
    begin = ways.again.framed("begin", ())
    change = changes(ways.start, ways.end, TOGETHER)[0]
    scores = np.array([[0.0, 0.1, math.inf], [0.5, 0.6, 0.7]])
    steps = [Step(begin), Step(begin, change)]
    found = ablation.conclude("val/rmse", True, "begin", "trial 0", [1, 2, 3], steps, scores, "it was forced")
    assert [row.effect for row in found.rows] == ["", "hurts"], "by the two seeds that both have"
    near = ablation.conclude("val/rmse", True, "begin", "trial 0", [1, 2, 3], steps, scores * [[1], [0.1]])
    assert near.rows[1].effect == "nothing shown"
    said = ablation_shown.sentences(found)
    assert said[0] == "Not comparable: it was forced"
    assert "In all: -0.5, over the 2 seeds that neither end lost" in " ".join(said).replace(" ± 0", "")
    assert found.plain()["not_comparable"] == "it was forced"


def test_a_configuration_that_conf_no_longer_gives_is_refused(tmp_path: Path) -> None:
    with study_of(tmp_path) as again:
        (trial,) = again.study.trials
        folder = Path(trial.user_attrs["output_dir"], ".hydra")
        folder.mkdir(parents=True)
        config = best_of(again, 1)[0].configuration.config.copy()
        config.train.batch_size = 77
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
        with pytest.raises(UserError, match=r"trial 0: got another .*train\.batch_size: 77 -> 1024"):
            best_of(again, 1)
        config.train.batch_size = 1024
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
        assert best_of(again, 1)
