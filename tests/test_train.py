import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from conf.schema import Config, Decay, EvaluationConfig, ScheduleConfig
from data.evaluation import evaluation_set
from sweep.engine.trial import Trial, TrialPruned, running
from sweep.metrics import measures
from sweep.train import largest_divisor, learning_rate, train, training_batches, use_threads

CONF = Path(__file__).parent.parent / "conf"
SMALL = (
    *("evaluation.size=500", "train.batch_size=64", "train.max_steps=12", "train.validate_every=6"),
    *("model.width=8", "model.depth=1", "train.jit_compile=false"),
)
Compose = Callable[..., DictConfig]


class Events(list[tuple[str, dict[str, Any]]]):
    """What a trial sent; asks it to stop at its first report if `prune`."""

    def __init__(self, prune: bool = False) -> None:
        super().__init__()
        self.prune = prune

    def send(self, kind: str, payload: dict[str, Any]) -> bool:
        self.append((kind, payload))
        return self.prune and kind == "report"

    def facts(self) -> dict[str, Any]:
        return {name: fact for kind, payload in self if kind == "facts" for name, fact in payload.items()}


def test_a_trial_leaves_its_model_its_scatter_and_its_facts(
    compose: Compose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = Events()
    cfg = compose(*SMALL, "objective.metric=val/rmse")
    with running(Trial(0, events.send)):
        objective = train(cfg, tmp_path)

    frozen = evaluation_set(EvaluationConfig(size=500), "validation")
    model = keras.models.load_model(tmp_path / "model.keras")
    predictions = model.predict(frozen.inputs, verbose=0)
    assert predictions.shape == (500, 3, 3)
    assert measures(frozen.inputs, frozen.inverses, predictions)["rmse"] == pytest.approx(objective, rel=1e-5)

    scatter = tmp_path / "scatter.png"
    assert scatter.read_bytes().startswith(b"\x89PNG")
    assert ("artifact", {"path": str(scatter), "folder": "plots"}) in events
    reports = [payload for kind, payload in events if kind == "report"]
    assert [report["step"] for report in reports] == [6, 12]
    assert objective == min(report["value"] for report in reports)
    assert events.facts()["parameters"] == 10 * 8 + 9 * 9
    assert events.facts()["best_step"] in (6, 12)
    assert events.facts()["evaluation_digest"] == frozen.digest

    printed = capsys.readouterr().out
    for words in ("this network", "zero skill", "best linear", "root mean squared error", "A·X̂"):
        assert words in printed


def test_the_same_seed_gives_the_same_objective_bit_for_bit_in_a_warm_process(compose: Compose) -> None:
    first = train(compose(*SMALL, "seed=3"))
    other = train(compose(*SMALL, "seed=4", "model.width=16"))
    assert train(compose(*SMALL, "seed=3")) == first
    assert other != first


def test_outside_hydra_and_without_a_folder_nothing_is_written(compose: Compose, tmp_path: Path) -> None:
    assert math.isfinite(train(compose(*SMALL)))
    assert list(tmp_path.iterdir()) == []


def test_divergence_is_nan_not_an_exception(compose: Compose, tmp_path: Path) -> None:
    events = Events()
    with running(Trial(0, events.send)):
        assert math.isnan(train(compose(*SMALL, "optimizer.learning_rate=1e38", "train.max_steps=60"), tmp_path))
    assert events.facts()["diverged_at"] <= 60
    assert list(tmp_path.iterdir()) == []


def test_pruning_leaves_the_task(compose: Compose) -> None:
    with running(Trial(0, Events(prune=True).send)), pytest.raises(TrialPruned):
        train(compose(*SMALL))


def test_training_learns(compose: Compose) -> None:
    """A small network soon beats the best constant, whose median relative error is 1."""
    cfg = compose(
        *SMALL,
        *("model.width=32", "optimizer.learning_rate=3e-3", "train.loss=mae", "objective.metric=val/rel_error_median"),
        *("train.batch_size=512", "train.max_steps=400", "train.validate_every=200"),
    )
    assert train(cfg) < 0.95


def shipped() -> list[list[str]]:
    """As few compositions as show every option of every group, and some values that no file has."""
    groups = ("data", "model", "optimizer", "schedule", "train", "evaluation", "objective")
    options = [[f"{group}={file.stem}" for file in sorted((CONF / group).glob("*.yaml"))] for group in groups]
    rounds = [[names[turn % len(names)] for names in options] for turn in range(max(map(len, options)))]
    size = ["data.matrix_size=4", "evaluation.matrix_size=4", "train.loss=huber"]
    return [*rounds, ["+experiment=answer"], size]


@pytest.mark.parametrize("choices", shipped(), ids=" ".join)
def test_every_shipped_option_trains_a_few_steps(compose: Compose, choices: list[str]) -> None:
    assert math.isfinite(train(compose(*choices, *SMALL, "train.max_steps=4")))


def test_the_seed_chooses_the_stream(compose: Compose) -> None:
    def first_matrix(seed: int) -> np.ndarray:
        settings = OmegaConf.to_object(compose(*SMALL, f"seed={seed}"))
        assert isinstance(settings, Config)
        return next(training_batches(settings).as_numpy_iterator())[0][0]

    np.testing.assert_array_equal(first_matrix(1), first_matrix(1))
    assert not np.array_equal(first_matrix(1), first_matrix(2))


@pytest.mark.parametrize("step", [0, 10, 50, 100])
def test_schedules(step: int) -> None:
    def rate(**settings: Any) -> float:
        curve = learning_rate(0.1, ScheduleConfig(**settings), 100)
        return curve if isinstance(curve, float) else float(curve(step))

    assert rate(decay=Decay.constant) == 0.1
    assert rate(decay=Decay.constant, warmup=0.2) == pytest.approx(min(step / 20, 1) * 0.1)
    cosine = (1 + math.cos(math.pi * step / 100)) / 2
    assert rate(decay=Decay.cosine) == pytest.approx(0.1 * cosine, abs=1e-8)
    assert rate(decay=Decay.cosine, final=0.2) == pytest.approx(0.1 * (0.2 + 0.8 * cosine), rel=1e-5)
    late = (1 + math.cos(math.pi * (step - 20) / 80)) / 2
    expected = 0.1 * (step / 20 if step < 20 else late)
    assert rate(decay=Decay.cosine, warmup=0.2) == pytest.approx(expected, abs=1e-8)


def test_validations_end_an_execution() -> None:
    assert [largest_divisor(*pair) for pair in [(200, 50), (200, 60), (6, 50), (7, 5), (1, 1)]] == [50, 50, 6, 1, 1]


def test_another_number_of_threads_than_the_process_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keras.ops.zeros(1) + 1  # TensorFlow runs now
    use_threads(None)
    with pytest.raises(RuntimeError, match=r"train\.threads: got 7, allowed is null"):
        use_threads(7)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    use_threads(7)
