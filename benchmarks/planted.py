"""Whether what is said of a study is true, on objectives whose truth is planted.

`python -m benchmarks.planted [STUDIES]`: 100 studies of 64 trials, or as many as asked for, of each of two objectives,
with and without noise, by each of three samplers, and what `sweep.results.importance` says of each. Of six parameters,
four matter (a learning rate's bowl, a depth's slope, a choice and a wave), and two do nothing. Prints how often what is
said is right, beside what Optuna's own measures put first. Runs in as many processes as it has cores.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler

from sweep.results.evaluators import ped_anova
from sweep.results.importance import Importances, importances
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


@dataclass(frozen=True)
class Planted:
    """An objective: for each parameter the variance of what it does alone, and for two of what they do together."""

    alone: tuple[float, float, float, float]
    together: float = 0.0

    def value(self, point: dict[str, float | str | bool]) -> float:
        """The objective, whose mean over the space is 0 and whose variance is 1."""
        rate = (math.log10(float(point["learning_rate"])) + 5) / 4
        slope = (float(point["depth"]) - 4.5) / math.sqrt(63 / 12)
        effects = (
            math.sqrt(180) * ((rate - 0.5) ** 2 - 1 / 12),
            slope,
            {"relu": -1.0, "silu": 0.0, "tanh": 1.0}[str(point["activation"])] * math.sqrt(3 / 2),
            math.sqrt(2) * math.sin(math.pi / 2 * float(point["entry_range"])),
        )
        alone = sum(math.sqrt(share) * effect for share, effect in zip(self.alone, effects, strict=True))
        return alone + math.sqrt(self.together) * math.sqrt(12) * (rate - 0.5) * slope

    def share(self, param: str) -> float:
        """How much of the variance a parameter accounts for, alone and with others."""
        place = list(SPACE).index(param)
        return (self.alone[place] if place < 4 else 0.0) + (self.together if place < 2 else 0.0)

    @property
    def matter(self) -> list[str]:
        """The parameters that matter, the most important first."""
        return sorted(list(SPACE)[:4], key=self.share, reverse=True)


OBJECTIVES = {
    "additive": Planted((0.5, 0.28, 0.14, 0.08)),
    "interaction": Planted((0.35, 0.20, 0.12, 0.08), together=0.25),
}


@dataclass(frozen=True)
class Verdict:
    """What was said of one study, and how much of it is right.

    Attributes:
        first: the most important parameter: by share, by PED-ANOVA, by fANOVA.
        said: how many statements were made that one parameter matters more than another.
        wrong: how many of them are wrong.
        idle_called_important: how many of the two that do nothing are said to matter.
        idle_called_idle: how many of them are said not to matter.
        called_important: how many of the four that matter are said to.
        called_idle: how many of them are said not to.
        top_two_named: whether the two most important ones are said to matter.
        covered: how many of the four shares are in their intervals.
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


def study(planted: Planted, noise: float, sampler: str, seed: int, trials: int = TRIALS) -> optuna.Study:
    """A study of a planted objective."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = np.random.default_rng((seed, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # QMC's
        made = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    for _ in range(trials):
        trial = made.ask(SPACE)
        made.tell(trial, planted.value(trial.params) + math.sqrt(noise) * rng.standard_normal())
    return made


def judge(planted: Planted, noise: float, found: Importances) -> Verdict:
    """Compares what was found with what is planted."""
    known = {importance.param: importance for importance in found.params}
    idle = [param for param in SPACE if param not in planted.matter]
    truth = {param: planted.share(param) / (1 + noise) for param in SPACE}
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
    )


def within(value: float, interval: tuple[float, float] | None) -> bool:
    """Whether an interval holds a value."""
    return interval is not None and interval[0] <= value <= interval[1]


def verdict(objective: str, noise: float, sampler: str, seed: int) -> Verdict:
    """Makes a study and judges what is said of it."""
    planted = OBJECTIVES[objective]
    return judge(planted, noise, importances(study(planted, noise, sampler, seed), seed=seed))


def decides(planted: Planted) -> str:
    """What most decides whether a trial is among the best tenth: PED-ANOVA's first, of far more trials."""
    shares = ped_anova(observe(study(planted, 0.0, "random", 0, trials=5000)))
    return max(SPACE, key=lambda param: shares[param][0])


def row(verdicts: Sequence[Verdict], truth: Sequence[tuple[str, str, str]]) -> str:
    """The figures of one kind of study, as cells.

    Args:
        verdicts: of each study.
        truth: the most important parameter of each, by each measure.
    """
    count = len(verdicts)
    said, wrong = (sum(getattr(verdict, what) for verdict in verdicts) for what in ("said", "wrong"))
    share, ped, forest = (
        sum(verdict.first[which] == right[which] for verdict, right in zip(verdicts, truth, strict=True)) / count
        for which in range(3)
    )
    idle, quiet = (
        sum(getattr(verdict, what) for verdict in verdicts) / (2 * count)
        for what in ("idle_called_important", "idle_called_idle")
    )
    found, missed, covered = (
        sum(getattr(verdict, what) for verdict in verdicts) / (4 * count)
        for what in ("called_important", "called_idle", "covered")
    )
    two = sum(verdict.top_two_named for verdict in verdicts) / count
    right = f"{1 - wrong / said:.1%}" if said else "-"
    cells = (
        f"{share:.0%} ({ped:.0%}, {forest:.0%})", f"{right} of {said / count:.1f}", f"{idle:.1%}", f"{two:.0%}",
        f"{found:.0%}", f"{missed:.1%}", f"{quiet:.0%}", f"{covered:.0%}",
    )  # fmt: skip
    return " | ".join(cells)


def kinds() -> Iterable[tuple[str, float, str]]:
    """Every kind of study."""
    return [(name, noise, sampler) for sampler in SAMPLERS for name in OBJECTIVES for noise in (0.0, NOISE)]


def missed(verdicts: list[Verdict], truth: list[tuple[str, str, str]]) -> list[str]:
    """The bars that are missed over all studies."""
    said, wrong = (sum(getattr(verdict, what) for verdict in verdicts) for what in ("said", "wrong"))
    right = sum(verdict.first[0] == first[0] for verdict, first in zip(verdicts, truth, strict=True))
    idle = sum(verdict.idle_called_important for verdict in verdicts)
    met = {
        "top right": right >= 0.95 * len(verdicts),
        "A matters more than B": wrong <= 0.05 * said,
        "idle said to matter": idle <= 0.05 * 2 * len(verdicts),
    }
    return [bar for bar, is_met in met.items() if not is_met]


def importance(studies: int) -> list[str]:
    """Prints the table of what is said of the parameters; returns the bars that are missed."""
    print(f"{studies} studies of {TRIALS} trials of each kind; noise has {NOISE:.0%} of the variance without it")
    print(
        "sampler, objective, noise | top right (by PED-ANOVA, by fANOVA) | A matters more than B: right, of how many "
        "a study | idle said to matter | top two said to matter | of four that matter, said so | said not to | "
        "idle said not to matter | shares within their intervals"
    )
    firsts = {name: (planted.matter[0], decides(planted), planted.matter[0]) for name, planted in OBJECTIVES.items()}
    for name, (most, decisive, _) in firsts.items():
        print(f"{name}: most of the variation is of {most}; which trials are the best tenth is most of {decisive}")
    every: list[Verdict] = []
    truth: list[tuple[str, str, str]] = []
    # Spawned, since a forked process would inherit the threads of the libraries that compute.
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("spawn")) as pool:
        for objective, noise, sampler in kinds():
            verdicts = list(pool.map(partial(verdict, objective, noise, sampler), range(studies)))
            every += verdicts
            truth += [firsts[objective]] * studies
            print(f"{sampler}, {objective}, {noise:g} | {row(verdicts, truth[-studies:])}", flush=True)
    print(f"all | {row(every, truth)}")
    print("bars | at least 95% | at least 95% | at most 5% | | | | |")
    return missed(every, truth)


def main() -> None:
    """Prints the tables. The status is 1 if a bar is missed."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # one thread each, for the processes to come
    outside = importance(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
    sys.exit(f"Missed: {', '.join(outside)}" if outside else None)


if __name__ == "__main__":
    main()
