"""Studies whose trials are known, for tests of what is made of them."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

SPACE: Mapping[str, BaseDistribution] = {
    "model.depth": IntDistribution(1, 8),
    "model.width": IntDistribution(16, 512, log=True),
    "optimizer.learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "data.entry_range": CategoricalDistribution(["[-1,1]", "[-2,2]", "[-4,4]"]),
    "data.target_scale": FloatDistribution(1.0, 20.0),
}
"""What the task's own studies are like: a list among the choices is kept as its text."""

BEGAN = datetime(2026, 1, 1, 12)

BASELINES = {
    "baseline/zero_skill/log10_rel_error": -0.01,
    "baseline/zero_skill/rmse": 2.438,
    "baseline/best_linear/log10_rel_error": -0.03,
    "baseline/best_linear/rmse": 2.421,
}


def draw(space: Mapping[str, BaseDistribution], generator: np.random.Generator) -> dict[str, Any]:
    """A point, evenly on each scale."""
    return {key: _draw(distribution, generator) for key, distribution in space.items()}


def _draw(drawn: BaseDistribution, generator: np.random.Generator) -> Any:
    if isinstance(drawn, CategoricalDistribution):
        return drawn.choices[generator.integers(len(drawn.choices))]
    assert isinstance(drawn, FloatDistribution | IntDistribution)
    share = generator.uniform()
    if drawn.log:
        value = math.exp(math.log(drawn.low) + share * (math.log(drawn.high) - math.log(drawn.low)))
    else:
        value = drawn.low + share * (drawn.high - drawn.low)
    if drawn.step is not None:
        value = drawn.low + round((value - drawn.low) / drawn.step) * drawn.step
    return int(value) if isinstance(drawn, IntDistribution) else float(value)


def add(
    study: optuna.Study,
    params: Mapping[str, Any] | None = None,
    values: list[float] | float | None = None,
    state: TrialState = TrialState.COMPLETE,
    space: Mapping[str, BaseDistribution] = SPACE,
    reports: Mapping[int, float] | None = None,
    constraints: Mapping[str, float] | None = None,
    at: float | None = None,
    seconds: float = 10.0,
    **attributes: Any,
) -> FrozenTrial:
    """Adds a trial to a study.

    Args:
        study: the study.
        params: what it has of the space.
        values: of its objectives.
        state: its state.
        space: the search space.
        reports: intermediate values by step.
        constraints: by name.
        at: seconds after the study began at which it began; None is after one trial another.
        seconds: how long it took.
        attributes: the trial's attributes.
    """
    number = len(study.get_trials(deepcopy=False))
    trial = create_trial(
        state=state,
        values=[values] if isinstance(values, float) else values,
        params=dict(params or {}),
        distributions={key: space[key] for key in params or {}},
        intermediate_values=dict(reports or {}),
        user_attrs=attributes,
        constraints=dict(constraints) if constraints else None,
    )
    if state != TrialState.WAITING:
        trial.datetime_start = BEGAN + timedelta(seconds=number * seconds if at is None else at)
        if state.is_finished():
            trial.datetime_complete = trial.datetime_start + timedelta(seconds=seconds)
    study.add_trial(trial)
    return study.get_trials(deepcopy=False)[number]


def error(params: Mapping[str, Any]) -> float:
    """A log10 relative error that the learning rate decides most, then the depth, then the entry range."""
    rate = (math.log10(params["optimizer.learning_rate"]) + 3) ** 2 * 0.15
    entries = {"[-1,1]": 0.1, "[-2,2]": 0.0, "[-4,4]": 0.05}[params["data.entry_range"]]
    return -0.9 + rate + 0.04 * (8 - params["model.depth"]) + entries


def plant(study: optuna.Study, trials: int, seed: int = 0) -> None:
    """Adds random trials as the task's own are: of ten, one diverges, one is pruned, and one of twenty fails."""
    generator = np.random.default_rng(seed)
    study.set_user_attr("objective", "val/log10_rel_error")
    study.set_user_attr("n_trials", trials)
    free = [0.0, 0.0]
    for number in range(trials):
        params = draw(SPACE, generator)
        value = error(params) + generator.normal(0, 0.02)
        slot = int(free[1] < free[0])
        seconds = 20.0 + params["model.width"] / 20
        reports = {step: value + 0.5 * math.exp(-step / 1000) for step in range(500, 4001, 500)}
        size = 9 * params["model.width"] + params["model.width"] ** 2 * params["model.depth"]
        facts = {"parameters": size, "flops_per_sample": 2 * size, "best_step": 3500, "evaluation_digest": "abc"}
        metrics = {"val/log10_rel_error": value, "val/rmse": 2.4 * 10**value, "val/rel_error_median": 10**value}
        metrics["val/within_5pct"] = min(1.0, max(0.0, -value / 2))
        place = {"slot": slot, "agent": "one", "at": free[slot], "seconds": seconds}
        if number % 10 == 3:
            add(study, params, None, TrialState.PRUNED, **place, reason="diverged", reports={500: math.nan})
        elif number % 10 == 7:
            early = {step: reported for step, reported in reports.items() if step <= 1500}
            add(study, params, None, TrialState.PRUNED, **place, reports=early, reason="pruned at step 1500")
        elif number % 20 == 5:
            add(study, params, None, TrialState.FAIL, **place, reason="crash: SIGKILL", retry="never")
        else:
            told = {"facts": {**facts, **BASELINES}, "metrics": metrics}
            add(study, params, value, **place, reports=reports, **told)
        free[slot] += seconds + 0.5
