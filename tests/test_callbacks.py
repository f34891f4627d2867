import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from conf.schema import EvaluationConfig
from data.evaluation import evaluation_set
from data.matrices import Determinant
from data.stream import stream
from models.dense import dense
from models.original_units import original_units
from sweep.callbacks import StopOnDivergence, Validation
from sweep.engine.trial import Trial, TrialPruned, running
from sweep.metrics import NAMES, measures

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
) -> tuple[Validation, StopOnDivergence, keras.Model]:
    keras.utils.set_random_seed(0)
    network = dense(3, 1, 8, "relu")
    network.compile(keras.optimizers.SGD(rate), "mse", steps_per_execution=per_execution, jit_compile=False)
    judge = original_units(network, 5.0)
    validation, divergence = Validation(judge, FROZEN, metric, every, steps, 32), StopOnDivergence()
    if batches is None:
        batches = stream(0, 32, 3, (-2.0, 2.0), Determinant(), 5.0, steps=steps)
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
        assert {f"val/{name}" for name in NAMES} | {"train/loss", "samples_per_second"} <= set(values)
        assert values["samples_per_second"] > 0
    best = study.metrics[validation.best_step]
    assert all(best[f"best/{name}"] == best[f"val/{name}"] for name in NAMES)
    reported = {step: values["val/rmse"] for step, values in study.metrics.items()}
    assert study.reports == reported


@pytest.mark.parametrize(("metric", "choose"), [("val/rmse", min), ("val/r2", max)])
def test_the_best_validation_is_kept_with_its_weights(metric: str, choose: Any) -> None:
    study = Study()
    validation, _, judge = fit(study, steps=24, every=2, rate=1.5, metric=metric)
    assert validation.objective == choose(study.reports.values())
    assert study.reports[validation.best_step] == validation.objective
    assert validation.best_step < 24, "the test needs a network that became worse again"
    validation.restore_best()
    np.testing.assert_array_equal(validation.predict(), validation.best_predictions)
    again = measures(FROZEN.inputs, FROZEN.inverses, judge(FROZEN.inputs).numpy())
    assert again[metric.removeprefix("val/")] == pytest.approx(validation.objective, rel=1e-5)


def test_the_training_loss_is_the_mean_since_the_last_validation() -> None:
    study = Study()
    batches = stream(0, 32, 3, (-2.0, 2.0), Determinant(), 5.0, steps=6)
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
    assert validation.best is None
    assert math.isnan(validation.objective)
    assert study.reports == {}
    assert math.isnan(study.metrics[10]["train/loss"])


def test_an_unknown_metric_fails_before_training() -> None:
    with pytest.raises(ValueError, match=r"objective\.metric: got val/accuracy, allowed is one of val/rmse"):
        fit(Study(), metric="val/accuracy")
