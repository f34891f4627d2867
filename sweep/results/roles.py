"""What a study says about its scientific parameters: each value at its best nuisance setting, and what was held still.

A value that had more trials had more luck. So the best of each is judged as the best of equally many: of as many trials
as the value with the fewest has, drawn with replacement from its own. What that varies by says nothing of trials that
were not run, so that two of them far apart prove nothing. That one value is better than another is said only where a
permutation test says so (`sweep.results.better`), corrected for all pairs of values of all scientific parameters. It
holds for trials that were drawn evenly: a sampler that searches gives some values better settings of the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sweep.engine.roles import ROLES
from sweep.engine.study import REPEAT_OF, attempts
from sweep.results.better import Floats, compare, weights
from sweep.results.interval import holm
from sweep.results.leaderboard import number, objective_name, ranked
from sweep.results.observations import spread_evenly
from sweep.results.report.axis import Axis, axes_of, text
from sweep.results.words import listed

LEAST = 3
"""How many trials a value must have to be compared with the others."""

ERROR = 0.02
"""How probable it may be that any value of any parameter is called better where none is."""


@dataclass(frozen=True)
class Value:
    """A value of a scientific parameter, or a part of its range.

    Attributes:
        label: the value, as people read it.
        trials: how many trials with it have ended.
        best: the best objective that any of them reached; None if none has a result.
        trial: the number of that trial.
        setting: the other parameters of that trial.
        middle: the median of the best of equally many of its trials; None if it has too few to be compared.
        low: the 2.5% quantile of that best, which like the median is never beyond what was seen.
        high: the 97.5% quantile.
    """

    label: str
    trials: int
    best: float | None
    trial: int | None
    setting: Mapping[str, Any]
    middle: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The values of a scientific parameter, in its own order, each at its best setting of everything else.

    Attributes:
        key: of the parameter.
        draws: as the best of how many trials each is judged.
        values: of the parameter.
        better: labels of every two values of which it is certain that the first is better than the second; None if the
            trials are not spread evenly over the search space, so that nothing is.
    """

    key: str
    draws: int
    values: tuple[Value, ...]
    better: tuple[tuple[str, str], ...] | None = ()


@dataclass(frozen=True)
class Answer:
    """What a study with roles says.

    Attributes:
        comparisons: one for each scientific parameter that any trial has.
        fixed: what was held still, with its values: what is said holds for these alone.
    """

    comparisons: tuple[Comparison, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """Which values are better than which, in words, and of which parameters these trials cannot tell."""
        said, open_ones = [], []
        for each in self.comparisons:
            beaten: dict[str, list[str]] = {}
            for one, other in each.better or ():
                beaten.setdefault(one, []).append(other)
            better = "; ".join(f"{one} is better than {listed(others)}" for one, others in beaten.items())
            if better:
                said.append(f"Of {each.key}, {better}.")
            else:
                open_ones.append(each.key)
        if open_ones:
            # All or none of them are without a verdict for this reason: it is one of the trials.
            searched = any(each.better is None for each in self.comparisons)
            why = ": their sampler searched, and gave some values better settings of the other parameters than others"
            said.append(f"Of {listed(open_ones)}, these trials cannot tell which value is better{why * searched}.")
        return said


def answer(study: optuna.Study) -> Answer | None:
    """Compares the values of a study's scientific parameters; None without roles, or with several objectives.

    Trials without a result (pruned, diverged, failed, infeasible) count as the worst that has one. Other scientific
    parameters are free, as nuisance parameters are.
    """
    roles = study.user_attrs.get(ROLES)
    if not roles or len(study.directions) > 1:
        return None
    sign = 1.0 if study.directions[0] == StudyDirection.MINIMIZE else -1.0
    last = [tries[-1] for _, tries in sorted(attempts(study).items())]
    ended = [trial for trial in last if trial.state.is_finished() and REPEAT_OF not in trial.user_attrs]
    costs = {trial.number: sign * trial.values[0] for trial in ranked(study)}
    groups = {axis.key: _groups(axis, ended) for axis in axes_of(ended) if axis.key in roles["scientific"]}
    draws = {key: min((len(t) for t in found.values() if len(t) >= LEAST), default=0) for key, found in groups.items()}
    better = _better(groups, draws, costs) if spread_evenly(ended) else None
    comparisons = [
        Comparison(
            key,
            draws[key],
            tuple(_value(key, label, trials, costs, sign, draws[key]) for label, trials in groups[key].items()),
            None if better is None else tuple((one, other) for of, one, other in better if of == key),
        )
        for key in roles["scientific"]
        if key in groups
    ]
    return Answer(tuple(comparisons), dict(roles["fixed"]))


def table(study: optuna.Study, said: Answer) -> Table:
    """What a study says about its scientific parameters, as a table; beneath it, what was held still."""
    held = ", ".join(f"{key}={text(value)}" for key, value in said.fixed.items())
    beneath = said.sentences
    beneath += [f"Holds for what was held still: {held}"] if held else []
    board = Table(
        title=f"{study.study_name}: {objective_name(study)} of each value at its best setting of the others",
        caption=escape("\n".join(beneath)),
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    board.add_column("")
    board.add_column("value")
    for heading in ("trials", "best", "by trial", "best of", "equally many"):
        board.add_column(heading, justify="right")
    for comparison in said.comparisons:
        for index, value in enumerate(comparison.values):
            board.add_row(
                escape(comparison.key) if index == 0 else "",
                escape(value.label),
                str(value.trials),
                "" if value.best is None else number(value.best),
                "" if value.trial is None else str(value.trial),
                str(comparison.draws) if value.middle is not None else "",
                _interval(value),
                end_section=index == len(comparison.values) - 1,
            )
    return board


def _value(
    key: str, label: str, trials: Sequence[FrozenTrial], costs: Mapping[int, float], sign: float, draws: int
) -> Value:
    known = [trial for trial in trials if trial.number in costs]
    if not known:
        return Value(label, len(trials), None, None, {})
    best = min(known, key=lambda trial: costs[trial.number])
    setting = {other: value for other, value in best.params.items() if other != key}
    value = Value(label, len(trials), sign * costs[best.number], best.number, setting)
    if len(trials) < LEAST:
        return value
    ordered = np.sort(_costs(trials, costs))
    low, middle, high = sorted(sign * quantile for quantile in best_of(ordered, draws))
    return replace(value, middle=middle, low=low, high=high)


def _groups(axis: Axis, trials: Sequence[FrozenTrial]) -> dict[str, list[FrozenTrial]]:
    """Trials by the value of a parameter, or by the part of its range, in its order; only those that have any."""
    having = [trial for trial in trials if axis.key in trial.params]
    found = {
        bucket.label: [trial for trial in having if bucket.holds(trial.params[axis.key])] for bucket in axis.buckets()
    }
    return {label: inside for label, inside in found.items() if inside}


def _better(
    groups: Mapping[str, Mapping[str, Sequence[FrozenTrial]]], draws: Mapping[str, int], costs: Mapping[int, float]
) -> list[tuple[str, str, str]]:
    """Of every two values of a parameter of which one is certain to be better: its key, the better and the other."""
    rng = np.random.default_rng(0)
    found, p_values = [], []
    for key, of in groups.items() if costs else ():
        enough = {label: _costs(trials, costs) for label, trials in of.items() if len(trials) >= LEAST}
        for one, other in itertools.combinations(enough, 2):
            lead, p = compare(enough[one], enough[other], draws[key], rng)
            found.append((key, one, other) if lead > 0 else (key, other, one))
            p_values.append(p)
    return [each for each, p in zip(found, holm(p_values), strict=True) if p < ERROR]


def _costs(trials: Sequence[FrozenTrial], costs: Mapping[int, float]) -> Floats:
    """What trials cost; one without a result as much as the worst that has one."""
    worst = max(costs.values())
    return np.array([costs.get(trial.number, worst) for trial in trials])


def best_of(ordered: Floats, draws: int) -> tuple[float, float, float]:
    """The least of `draws` values drawn with replacement from these, in rising order: its 2.5%, 50% and 97.5%."""
    reached = np.cumsum(weights(len(ordered), draws))  # how probable it is that the least is at most the i-th
    low, middle, high = (float(ordered[np.searchsorted(reached, share)]) for share in (0.025, 0.5, 0.975))
    return low, middle, high


def _interval(value: Value) -> str:
    if value.middle is None or value.low is None or value.high is None:
        return "too few trials"
    return f"{number(value.middle, 3)} ({number(value.low, 3)} to {number(value.high, 3)})"
