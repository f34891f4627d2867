"""Whether what is said of a study is true, on objectives whose truth is planted.

`python -m benchmarks.planted [STUDIES]`: 100 studies of 64 trials, or as many as asked for, of each of four objectives
by each of three samplers, and what `sweep.results.importance` says of each. Of six parameters, two at least do nothing.
In two objectives four matter (a learning rate's bowl, a depth's slope, a choice and a wave), with and without noise;
one has a needle, which few trials meet; one a cliff, beyond which every trial is pruned. Prints how often what is said
is right, beside what Optuna's own measures put first. Runs in as many processes as it has cores, and ends with status 1
if a bar is missed.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from sweep.results import evaluators
from sweep.results.evaluators import ped_anova
from sweep.results.importance import NEGLIGIBLE, Importances, importances
from sweep.results.observations import observe

TRIALS = 64

SPACE = {
    "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "depth": IntDistribution(1, 8),
    "activation": CategoricalDistribution(["relu", "silu", "tanh"]),
    "entry_range": FloatDistribution(0.0, 4.0),
    "width": IntDistribution(16, 256, log=True),
    "bias": CategoricalDistribution([True, False]),
}
"""The last two do nothing."""

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": lambda seed: RandomSampler(seed=seed),
    "qmc": lambda seed: QMCSampler(scramble=True, seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed),
}

NOISE = 0.1
"""Variance of the noise, where there is some; that of the objective without it is 1."""


Point = Mapping[str, Any]


@dataclass(frozen=True)
class Planted:
    """An objective, whose mean over the space is 0 and whose variance is 1, and the truth about it.

    Attributes:
        value: the objective at a point.
        alone: how much of the variance each parameter accounts for alone.
        together: how much every two do together, beyond that.
        pruned: whether a trial is pruned at a point; the shares are those of what is left.
    """

    value: Callable[[Point], float]
    alone: Mapping[str, float]
    together: Mapping[frozenset[str], float]
    pruned: Callable[[Point], bool] = lambda _: False

    def share(self, param: str) -> float:
        """How much of the variance a parameter accounts for, alone and with others."""
        return self.alone.get(param, 0.0) + sum(share for pair, share in self.together.items() if param in pair)

    def pair(self, one: str, other: str) -> float:
        """How much of the variance two parameters account for together."""
        return self.together.get(frozenset((one, other)), 0.0)

    @property
    def matter(self) -> list[str]:
        """The parameters that matter, the most important first."""
        return sorted(self.alone, key=self.share, reverse=True)


def summed(alone: tuple[float, float, float, float], together: float = 0.0) -> Planted:
    """A learning rate's bowl, a depth's slope, a choice and a wave; and what the first two do together."""

    def value(point: Point) -> float:
        rate, depth = _rate(point), _slope(point)
        effects = (
            math.sqrt(180) * ((rate - 0.5) ** 2 - 1 / 12),
            depth,
            {"relu": -1.0, "silu": 0.0, "tanh": 1.0}[str(point["activation"])] * math.sqrt(3 / 2),
            math.sqrt(2) * math.sin(math.pi / 2 * float(point["entry_range"])),
        )
        found = sum(math.sqrt(share) * effect for share, effect in zip(alone, effects, strict=True))
        return found + math.sqrt(together) * math.sqrt(12) * (rate - 0.5) * depth

    pairs = {frozenset(("learning_rate", "depth")): together} if together else {}
    return Planted(value, dict(zip(SPACE, alone, strict=False)), pairs)


def cliff(rest: Planted) -> Planted:
    """Another objective, but that all of the larger learning rates are five units worse, and pruned."""

    def beyond(point: Point) -> bool:
        return _rate(point) > 0.5

    return Planted(lambda point: rest.value(point) + 5 * beyond(point), rest.alone, rest.together, beyond)


def needle(depth: float) -> Planted:
    """A depth's slope with this share, and a needle at one learning rate and entry range, which few trials meet."""

    def bell(place: Any, middle: float, width: float) -> Any:
        return np.exp(-(((place - middle) / width) ** 2) / 2)

    rate, entries = (0.3, 0.1), (0.6, 0.15)
    places = (np.arange(100_000) + 0.5) / 100_000
    (mean, var), (other_mean, other_var) = ((b.mean(), b.var()) for b in (bell(places, *rate), bell(places, *entries)))
    parts = np.array([var * other_mean**2, mean**2 * other_var, var * other_var])
    height = math.sqrt((1 - depth) / parts.sum())
    one, other, both = (float(share) for share in (1 - depth) * parts / parts.sum())

    def value(point: Point) -> float:
        met = bell(_rate(point), *rate) * bell(float(point["entry_range"]) / 4, *entries)
        return math.sqrt(depth) * _slope(point) - height * float(met - mean * other_mean)

    alone = {"learning_rate": one, "depth": depth, "entry_range": other}
    return Planted(value, alone, {frozenset(("learning_rate", "entry_range")): both})


def _rate(point: Point) -> float:
    return (math.log10(float(point["learning_rate"])) + 5) / 4


def _slope(point: Point) -> float:
    return (float(point["depth"]) - 4.5) / math.sqrt(63 / 12)


OBJECTIVES = {
    "additive": summed((0.5, 0.28, 0.14, 0.08)),
    "interaction": summed((0.35, 0.20, 0.12, 0.08), together=0.25),
    "needle": needle(0.4),
    "cliff": cliff(summed((0.0, 0.5, 0.3, 0.2))),
}

PLAIN, EVEN = ("additive", "interaction"), ("random", "qmc")
"""Objectives of which every trial tells, and samplers that draw evenly: there the most important parameter has to be
first. A sampler that searches looks for the best trial, and hardly at what the others are worse by."""


@dataclass(frozen=True)
class Verdict:
    """What was said of one study, and how much of it is right.

    Attributes:
        first: the most important parameter: by share, by PED-ANOVA, by fANOVA.
        said: how many statements were made that one parameter matters more than another.
        wrong: how many of them are wrong.
        idle_called_important: how many of those that do nothing are said to matter.
        idle_called_idle: how many of them are said not to matter.
        called_important: how many of those that matter are said to.
        called_idle: how many of them are said not to.
        top_two_named: whether the two most important ones are said to matter.
        covered: how many of their shares are in their intervals.
        depend: how many statements were made that what one parameter does depends on another.
        depend_wrong: how many of them are wrong: the two account for no more together than what does not matter.
        idle: how many parameters do nothing.
        matter: how many matter.
    """

    first: tuple[str, str, str]
    said: int
    wrong: int
    idle_called_important: int
    idle_called_idle: int
    called_important: int
    called_idle: int
    top_two_named: bool
    covered: int
    depend: int
    depend_wrong: int
    idle: int
    matter: int


def study(planted: Planted, noise: float, sampler: str, seed: int, trials: int = TRIALS) -> optuna.Study:
    """A study of a planted objective."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng((seed, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # QMC's
        made = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    for _ in range(trials):
        trial = made.ask(SPACE)
        value = planted.value(trial.params) + math.sqrt(noise) * rng.standard_normal()
        trial.report(value, step=1)
        if planted.pruned(trial.params):
            made.tell(trial, state=TrialState.PRUNED)
        else:
            made.tell(trial, value)
    return made


def judge(planted: Planted, noise: float, found: Importances) -> Verdict:
    """Compares what was found with what is planted."""
    known = {importance.param: importance for importance in found.params}
    idle = [param for param in SPACE if param not in planted.matter]
    truth = {param: planted.share(param) / (1 + noise) for param in SPACE}
    depend = [together.params for together in found.together if together.matters]
    return Verdict(
        first=(
            found.params[0].param,
            max(SPACE, key=lambda param: known[param].ped_anova or 0),
            max(SPACE, key=lambda param: known[param].fanova or 0),
        ),
        said=len(found.more_than),
        wrong=sum(truth[more] <= truth[less] for more, less in found.more_than),
        idle_called_important=sum(known[param].matters is True for param in idle),
        idle_called_idle=sum(known[param].matters is False for param in idle),
        called_important=sum(known[param].matters is True for param in planted.matter),
        called_idle=sum(known[param].matters is False for param in planted.matter),
        top_two_named=all(known[param].matters for param in planted.matter[:2]),
        covered=sum(within(truth[param], known[param].share_interval) for param in planted.matter),
        depend=len(depend),
        depend_wrong=sum(planted.pair(*params) / (1 + noise) <= NEGLIGIBLE for params in depend),
        idle=len(idle),
        matter=len(planted.matter),
    )


def within(value: float, interval: tuple[float, float] | None) -> bool:
    """Whether an interval holds a value."""
    return interval is not None and interval[0] <= value <= interval[1]


def verdict(objective: str, noise: float, sampler: str, seed: int) -> Verdict:
    """Makes a study and judges what is said of it."""
    planted = OBJECTIVES[objective]
    evaluators.REPLICATES = 2  # the intervals of Optuna's own measures are not judged, and take nine tenths of the time
    return judge(planted, noise, importances(study(planted, noise, sampler, seed), seed=seed))


def decides(planted: Planted) -> str:
    """What most decides whether a trial is among the best tenth: PED-ANOVA's first, of far more trials."""
    shares = ped_anova(observe(study(planted, 0.0, "random", 0, trials=5000)))
    return max(SPACE, key=lambda param: shares[param][0])


@dataclass(frozen=True)
class Figures:
    """How much of what was said of many studies is right, as shares; nan of what was never said.

    Attributes:
        first: how often the most important parameter is first: by share, by PED-ANOVA, by fANOVA.
        more: of the statements that one matters more than another.
        depend: of those that what one does depends on another.
        idle_called_important: of the parameters that do nothing, those that are said to matter.
    """

    first: tuple[float, float, float]
    more: float
    depend: float
    idle_called_important: float

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], truth: Sequence[tuple[str, str, str]]) -> Figures:
        """Those of some studies, of each of which the first parameter by each measure is known."""
        firsts = [
            [v.first[which] == right[which] for v, right in zip(verdicts, truth, strict=True)] for which in range(3)
        ]
        share, ped, forest = (float(np.mean(first)) for first in firsts)
        return cls(
            (share, ped, forest),
            1 - _ratio(verdicts, "wrong", "said"),
            1 - _ratio(verdicts, "depend_wrong", "depend"),
            _ratio(verdicts, "idle_called_important", "idle"),
        )


def _ratio(verdicts: Sequence[Verdict], some: str, every: str) -> float:
    parts, whole = (sum(getattr(verdict, name) for verdict in verdicts) for name in (some, every))
    return parts / whole if whole else math.nan


def row(verdicts: Sequence[Verdict], truth: Sequence[tuple[str, str, str]]) -> str:
    """The figures of one kind of study, as cells.

    Args:
        verdicts: of each study.
        truth: the most important parameter of each, by each measure.
    """
    found, count = Figures.of(verdicts, truth), len(verdicts)
    said, depend = (sum(getattr(verdict, name) for verdict in verdicts) / count for name in ("said", "depend"))
    share, ped, forest = found.first
    cells = (
        f"{share:.0%} ({ped:.0%}, {forest:.0%})",
        f"{found.more:.1%} of {said:.1f}",
        f"{found.depend:.1%} of {depend:.2f}",
        f"{found.idle_called_important:.1%}",
        f"{np.mean([verdict.top_two_named for verdict in verdicts]):.0%}",
        f"{_ratio(verdicts, 'called_important', 'matter'):.0%}",
        f"{_ratio(verdicts, 'called_idle', 'matter'):.1%}",
        f"{_ratio(verdicts, 'idle_called_idle', 'idle'):.0%}",
        f"{_ratio(verdicts, 'covered', 'matter'):.0%}",
    )
    return " | ".join(cells)


def kinds() -> Iterable[tuple[str, float, str]]:
    """Every kind of study."""
    quiet = [(name, 0.0, sampler) for sampler in SAMPLERS for name in PLAIN]
    return [*quiet, *((name, NOISE, sampler) for sampler in SAMPLERS for name in OBJECTIVES)]


def importance(studies: int) -> bool:
    """Prints the table of what is said of the parameters; returns whether all of it together is above the bars."""
    print(f"{studies} studies of {TRIALS} trials of each kind; noise has {NOISE:.0%} of the variance without it")
    print(
        "sampler, objective, noise | top right (by PED-ANOVA, by fANOVA) | A matters more than B: right, of how many "
        "a study | A depends on B: right, of how many a study | idle said to matter | top two said to matter | of "
        "those that matter, said so | said not to | idle said not to matter | shares within their intervals"
    )
    firsts = {name: (planted.matter[0], decides(planted), planted.matter[0]) for name, planted in OBJECTIVES.items()}
    for name, (most, decisive, _) in firsts.items():
        print(f"{name}: most of the variation is of {most}; which trials are the best tenth is most of {decisive}")
    every: list[Verdict] = []
    truth: list[tuple[str, str, str]] = []
    right: list[bool] = []
    # Spawned, since a forked process would inherit the threads of the libraries that compute.
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")) as pool:
        for objective, noise, sampler in kinds():
            verdicts = list(pool.map(partial(verdict, objective, noise, sampler), range(studies)))
            every += verdicts
            truth += [firsts[objective]] * studies
            if objective in PLAIN and sampler in EVEN:
                right += [verdict.first[0] == firsts[objective][0] for verdict in verdicts]
            print(f"{sampler}, {objective}, {noise:g} | {row(verdicts, truth[-studies:])}", flush=True)
    print(f"all | {row(every, truth)}")
    print(
        "bars | at least 95% where drawn evenly of the first two | at least 95% | at least 95% | at most 5% | | | | |"
    )
    found = Figures.of(every, truth)
    said = not found.more < 0.95 and not found.depend < 0.95  # what was never said, whose share is nan, is not wrong
    return bool(np.mean(right) >= 0.95 and said and found.idle_called_important <= 0.05)


def main() -> None:
    """Prints the tables; ends with status 1 if a bar is missed."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # one thread each, for the processes to come
    sys.exit(0 if importance(int(sys.argv[1]) if len(sys.argv) > 1 else 100) else 1)


if __name__ == "__main__":
    main()
