import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from conf.schema import DataConfig, EvaluationConfig
from data.evaluation import evaluation_set
from data.stream import stream
from models.dense import dense
from models.original_units import original_units
from sweep.callbacks import StopOnDivergence, Validation, averaged
from sweep.engine.trial import Trial, TrialPruned, running
from sweep.metrics import NAMES, measures, names
from sweep.training.judge import Judge

FROZEN = evaluation_set(EvaluationConfig(size=300), "validation")


class Study:
    """Listens to a trial, and prunes it at a step."""

    def __init__(self, prune_at: int | None = None) -> None:
        self.prune_at = prune_at
        self.metrics: dict[int, dict[str, float]] = {}
        self.reports: dict[int, float] = {}

    def send(self, kind: str, payload: dict[str, Any]) -> bool:
        if kind == "metrics":
            self.metrics[payload["step"]] = payload["values"]
        if kind == "report":
            self.reports[payload["step"]] = payload["value"]
            return payload["step"] == self.prune_at
        return False


def fit(
    study: Study,
    *,
    steps: int = 10,
    every: int = 4,
    per_execution: int = 2,
    rate: float = 1e-2,
    metric: str = "val/rmse",
    batches: tf.data.Dataset | None = None,
    patience: int | None = None,
    refine: int = 0,
    held_out: bool = False,
    **optimizer: Any,
) -> tuple[Validation, StopOnDivergence, keras.Model]:
    keras.utils.set_random_seed(0)
    network = dense(3, 9, 1, 8, "relu")
    sgd = keras.optimizers.SGD(rate, **optimizer)
    network.compile(sgd, "mse", steps_per_execution=per_execution, jit_compile=False)
    judge = original_units(network, 5.0)
    part = evaluation_set(EvaluationConfig(size=50), "test") if held_out else None
    judging = Judge(judge, FROZEN, refine, part)
    validation, divergence = Validation(judging, metric, every, steps, 32, patience), StopOnDivergence()
    if batches is None:
        batches = stream(DataConfig(), 0, 32, steps=steps)
    with running(Trial(0, study.send)):
        network.fit(batches, shuffle=False, verbose=0, callbacks=[divergence, validation])
    return validation, divergence, judge


def test_it_validates_at_every_multiple_and_at_the_end() -> None:
    study = Study()
    fit(study, steps=10, every=4, per_execution=2)
    assert list(study.reports) == list(study.metrics) == [4, 8, 10]


def test_a_short_last_execution_counts_the_steps_that_were_made() -> None:
    study = Study()
    fit(study, steps=7, every=5, per_execution=5)
    assert list(study.reports) == [5, 7]


def test_it_logs_every_measure_loss_and_speed() -> None:
    study = Study()
    validation, _, _ = fit(study)
    for values in study.metrics.values():
        expected = {f"val/{name}" for name in NAMES} | {"train/loss", "samples_per_second", "steps_per_second"}
        assert set(values) == expected
        assert values["samples_per_second"] == pytest.approx(32 * values["steps_per_second"])
        assert values["steps_per_second"] > 0
    best = study.metrics[validation.progress.best_step]
    assert validation.progress.best == {name: best[f"val/{name}"] for name in NAMES}
    reported = {step: values["val/rmse"] for step, values in study.metrics.items()}
    assert study.reports == reported


@pytest.mark.parametrize(("metric", "choose"), [("val/rmse", min), ("val/r2", max)])
def test_the_best_validation_is_kept_with_its_weights(metric: str, choose: Any) -> None:
    study = Study()
    validation, _, judge = fit(study, steps=24, every=2, rate=1.5, metric=metric)
    seen = validation.progress
    assert seen.objective == choose(study.reports.values())
    assert study.reports[seen.best_step] == seen.objective
    assert seen.best_step < 24, "the test needs a network that became worse again"
    assert 0 < seen.best_seconds < seen.seconds
    validation.restore_best()
    again = measures(FROZEN.inputs, FROZEN.truth, judge(FROZEN.inputs).numpy())
    assert again[metric.removeprefix("val/")] == pytest.approx(seen.objective, rel=1e-5)


def test_the_training_loss_is_the_mean_since_the_last_validation() -> None:
    study = Study()
    batches = stream(DataConfig(), 0, 32, steps=6)
    _, _, judge = fit(study, steps=6, every=2, rate=0.0, batches=batches)
    losses = [
        np.mean(np.square(judge(matrices).numpy().reshape(32, 9) / 5.0 - targets))
        for matrices, targets in batches.as_numpy_iterator()
    ]
    logged = [values["train/loss"] for values in study.metrics.values()]
    np.testing.assert_allclose(logged, np.reshape(losses, (3, 2)).mean(1), rtol=1e-4)


def test_pruning_leaves_the_fit() -> None:
    study = Study(prune_at=4)
    with pytest.raises(TrialPruned, match="pruned at step 4"):
        fit(study)
    assert list(study.reports) == [4]


def test_a_loss_that_diverges_ends_the_fit_unjudged() -> None:
    study = Study()
    validation, divergence, _ = fit(study, steps=400, every=100, per_execution=10, rate=1e30)
    assert divergence.diverged_at == 10
    assert validation.progress.best == {}
    assert math.isnan(validation.progress.objective)
    assert study.reports == {}
    assert math.isnan(study.metrics[10]["train/loss"])


def test_an_unknown_metric_fails_before_training() -> None:
    with pytest.raises(ValueError, match=r"objective\.metric: got val/accuracy, allowed is one of val/rmse"):
        fit(Study(), metric="val/accuracy")


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_ends_a_fit_that_no_longer_improves(patience: int) -> None:
    free, patient = Study(), Study()
    fit(free, steps=40, every=2, rate=1.5)
    validation, _, _ = fit(patient, steps=40, every=2, rate=1.5, patience=patience)
    steps = list(patient.reports)
    assert steps[-1] < 40, "the test needs a network that became worse again"
    assert steps[-1] == validation.progress.best_step + 2 * patience
    assert patient.reports == {step: free.reports[step] for step in steps}
    assert validation.done


def test_without_patience_nothing_ends_early() -> None:
    study = Study()
    validation, _, _ = fit(study, steps=40, every=2, rate=1.5)
    assert list(study.reports)[-1] == 40
    assert not validation.done or validation.start == 40


def test_refined_predictions_are_judged_apart_and_change_nothing_else() -> None:
    raw, both = Study(), Study()
    fit(raw)
    fit(both, refine=3)
    timed = {"samples_per_second", "steps_per_second"}
    for step, values in raw.metrics.items():
        refined = both.metrics[step]
        assert {f"val/{name}" for name in names(inverse=True, refined=True)} <= set(refined)
        assert {name: refined[name] for name in values if name not in timed} == {
            name: value for name, value in values.items() if name not in timed
        }
    assert raw.reports == both.reports


def test_what_a_pool_holds_out_is_judged_beside() -> None:
    study = Study()
    fit(study, held_out=True)
    for values in study.metrics.values():
        assert {f"held_out/{name}" for name in NAMES} <= set(values)
        assert values["held_out/rmse"] != values["val/rmse"]


def test_averages_are_what_is_judged_and_kept_and_training_goes_on_without_them() -> None:
    """The averages by hand: of the weights after each step, the first one counting whole."""
    plain, averages = Study(), Study()
    fit(plain, steps=6, every=1, per_execution=1, rate=0.1)
    _, _, kept = fit(averages, steps=6, every=3, per_execution=1, rate=0.1, use_ema=True, ema_momentum=0.5)
    trained, by_hand = [], None
    keras.utils.set_random_seed(0)
    network = dense(3, 9, 1, 8, "relu")
    network.compile(keras.optimizers.SGD(0.1), "mse")
    for matrices, targets in stream(DataConfig(), 0, 32, steps=6).as_numpy_iterator():
        network.train_on_batch(matrices, targets)
        now = network.get_weights()
        by_hand = now if by_hand is None else [0.5 * a + 0.5 * w for a, w in zip(by_hand, now, strict=True)]
        trained.append(by_hand)
    for weight, expected in zip(kept.get_weights(), trained[-1], strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-6)
    at_three = dense(3, 9, 1, 8, "relu")
    at_three.set_weights(trained[2])
    value = measures(FROZEN.inputs, FROZEN.truth, original_units(at_three, 5.0)(FROZEN.inputs).numpy())["rmse"]
    assert averages.reports[3] == pytest.approx(value, rel=1e-4)
    losses = [plain.metrics[step]["train/loss"] for step in (4, 5, 6)]
    assert averages.metrics[6]["train/loss"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_weights_come_back_after_their_averages_were_used() -> None:
    network = dense(3, 9, 1, 8, "relu")
    network.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "mse")
    network.fit(stream(DataConfig(), 0, 32, steps=5), verbose=0, shuffle=False)
    network.fit(stream(DataConfig(), 0, 32, steps=1), verbose=0, shuffle=False)
    network.set_weights([weight + 1 for weight in network.get_weights()])
    before = network.get_weights()
    with averaged(network):
        assert not np.array_equal(network.get_weights()[0], before[0])
    for weight, expected in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
