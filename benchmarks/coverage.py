"""Whether what `sweep confirm` states is true as often as it says, on studies whose truth is known.

`python -m benchmarks.coverage [STUDIES]`: simulates studies (1,000 of each kind unless told). A study has 64
configurations whose true objectives are drawn; it scores each once, with noise, and its best three are confirmed with
fresh seeds beside two baselines, by the code that `sweep confirm` uses. Noise has a part that all configurations share
for a seed and a part of each one's own. Prints, for several shapes of noise, how often the 95% intervals hold the true
mean, and how often a champion is named that is none, also by one who asks again with more seeds until there is one;
each with its bar. Nothing is trained: it takes some minutes on one core. Its status is 1 if a bar is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from sweep.engine.recomposed import Configuration
from sweep.results.candidates import Candidate
from sweep.results.confirmed import Confirmed, conclude

Floats = NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, ...]], Floats]

CONFIGURATIONS, TOP, BASELINES = 64, 3, 2
SHARED = 0.5
"""Spread of what all configurations have in common for a seed; each one's own has a spread of 1."""


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A spread of 1."""
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A spread of 1, most of it on one side: an exponential distribution."""
    return rng.exponential(size=shape) - 1


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A spread of 1 with outliers: Student's distribution with 3 degrees of freedom."""
    return rng.standard_t(3, size=shape) / np.sqrt(3)


def unequal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Each configuration has a spread of its own, from 0.3 to 3."""
    return rng.normal(size=shape) * np.exp(rng.uniform(np.log(0.3), np.log(3), size=(*shape[:-1], 1)))


def diverging(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """A spread of 1, and one training in twenty diverges."""
    return np.where(rng.random(shape) < 0.05, np.inf, rng.normal(size=shape))


NOISES: dict[str, Noise] = {
    "normal": normal,
    "skewed": skewed,
    "heavy tails": heavy,
    "unequal spreads": unequal,
    "5% diverge": diverging,
}

SEEDS = (3, 5, 10)
LOOKS = (5, 10, 15, 20)
"""How many seeds one asks for who goes on until there is a champion."""

ENOUGH = 1000
"""Studies from which on nothing is allowed beside the bars."""

HELD = (0.93, 0.97)
"""The bars of how often the intervals of means hold the true ones."""

MOST_FALSE = 0.07
"""The bar of how often a champion is named where the best two are equal."""


@dataclass(frozen=True)
class Simulated:
    """A study that was confirmed, with the truth.

    Attributes:
        confirmed: what was found.
        truth: the true mean of each candidate, by its name.
    """

    confirmed: Confirmed
    truth: dict[str, float]

    def held(self) -> list[bool]:
        """Whether the interval of each candidate's mean holds the true one."""
        rows = [row for row in self.confirmed.rows if row.mean.count >= 2]
        return [row.mean.low <= self.truth[row.name] <= row.mean.high for row in rows]

    def held_best(self) -> bool:
        """The same of the best candidate, which was chosen by the same scores."""
        return self.held()[0]

    def held_differences(self) -> list[bool]:
        """Whether the interval of each difference to the best holds the true one."""
        best = self.truth[self.confirmed.rows[0].name]
        of = [(row.difference, self.truth[row.name] - best) for row in self.confirmed.rows if row.difference]
        return [difference.low <= true <= difference.high for difference, true in of]

    def wrong_champion(self) -> bool:
        """Whether one was named although another candidate is as good."""
        champion = self.confirmed.champion
        others = [true for name, true in self.truth.items() if name != champion]
        return champion is not None and self.truth[champion] >= min(others)


def confirm(
    rng: np.random.Generator, truth: Floats, scores: Floats, noise: Noise, seeds: Sequence[int]
) -> list[Simulated]:
    """Confirms candidates, and again with more seeds; the last `BASELINES` of them are baselines.

    Args:
        rng: draws the noise.
        truth: the true mean of each.
        scores: what each has reached in its study.
        noise: of a training.
        seeds: how many trainings each has whenever this is asked.
    """
    own = len(truth) - BASELINES
    names = [f"trial {i}" if i < own else f"baseline {i - own}" for i in range(len(truth))]
    candidates = [
        Candidate(Configuration(name, (), OmegaConf.create(), name), i if i < own else None, {}, float(scores[i]))
        for i, name in enumerate(names)
    ]
    drawn = truth[:, None] + noise(rng, (len(truth), max(seeds))) + SHARED * rng.normal(size=max(seeds))
    true = dict(zip(names, map(float, truth), strict=True))
    return [
        Simulated(
            conclude("objective", True, candidates, range(count), drawn[:, :count], {}, None, looks=seeds[:look]), true
        )
        for look, count in enumerate(seeds)
    ]


def studies(rng: np.random.Generator, count: int, noise: Noise, seeds: int) -> Iterator[Simulated]:
    """Studies of `CONFIGURATIONS`, whose best by one noisy score are confirmed beside baselines that are worse."""
    for _ in range(count):
        truth = rng.normal(size=CONFIGURATIONS)
        scored = truth + noise(rng, (CONFIGURATIONS, 1))[:, 0]  # what diverged is not among the best
        best = np.argsort(scored)[:TOP]
        baselines = rng.normal(2, 1, size=BASELINES)
        yield confirm(rng, np.append(truth[best], baselines), np.append(scored[best], baselines), noise, [seeds])[0]


EQUALS = {
    "the best two trials equal, all else far worse": (0.0, 0.0, 9.0, 9.0, 9.0),
    "the best two trials equal, all else near": (0.0, 0.0, 1.0, 1.5, 2.0),
    "a baseline as good as the best trial": (0.0, 9.0, 9.0, 0.0, 9.0),
    "all equal": (0.0, 0.0, 0.0, 0.0, 0.0),
}
"""True means of three trials and two baselines of which at least two are the best."""

BETTER = {"1": (0.0, 1.0, 1.0, 1.0, 1.0), "2": (0.0, 2.0, 2.0, 2.0, 2.0), "4": (0.0, 4.0, 4.0, 4.0, 4.0)}
"""True means of which one is the best, by so many spreads of a training."""


def among(rng: np.random.Generator, count: int, truth: tuple[float, ...], noise: Noise, seeds: int) -> list[Simulated]:
    """Studies whose candidates have these true means."""
    return [confirm(rng, np.array(truth), np.array(truth), noise, [seeds])[0] for _ in range(count)]


def named_at_last(rng: np.random.Generator, truth: tuple[float, ...], noise: Noise) -> bool:
    """Whether one who asks with more and more seeds, `LOOKS`, finds a champion at any time."""
    return any(each.confirmed.champion for each in confirm(rng, np.array(truth), np.array(truth), noise, LOOKS))


@dataclass
class Bars:
    """Shares with their bars, as they are printed.

    Attributes:
        count: how many studies each share is of. The bars are those of `ENOUGH`; of fewer, a share that is outside by
            no more than chance is not missed.
        missed: those that are outside.
    """

    count: int
    missed: list[str] = field(default_factory=list)

    def share(self, of: Sequence[bool], what: str, low: float = 0.0, high: float = 1.0) -> str:
        """How many are true, in percent, with a mark if that is outside of `[low, high]`.

        Chance is two standard errors of as many draws as there are studies: those of one study are not independent.
        """
        found = float(np.mean(of))
        chance = 2 * np.sqrt(0.05 * 0.95 / self.count) if self.count < ENOUGH else 0.0
        missed = not low - chance <= found <= high + chance
        self.missed += [f"{what}: {found:.1%}"] * missed
        return f"{found:6.1%}{'!' if missed else ' '}"


def means(rng: np.random.Generator, bars: Bars) -> None:
    """Prints how often intervals hold the truth."""
    print(f"held by their 95% intervals (bar: {HELD[0]:.0%} to {HELD[1]:.0%} of means):")
    print("                          means    of the best  differences  | gap to the study's score")
    for name, noise in NOISES.items():
        for seeds in SEEDS:
            found = list(studies(rng, bars.count, noise, seeds))
            held = bars.share([each for one in found for each in one.held()], f"means, {name}, {seeds} seeds", *HELD)
            best = bars.share([each.held_best() for each in found], "")
            differences = bars.share([each for one in found for each in one.held_differences()], "")
            gaps = [row.gap for each in found for row in each.confirmed.rows if row.trial is not None and row.gap]
            print(
                f"{name:16} {seeds:2} seeds  {held}  {best}      {differences}      | {np.mean(gaps):+.2f}", flush=True
            )


def equals(rng: np.random.Generator, bars: Bars) -> None:
    """Prints how often a champion is named among equals."""
    print(f"\na champion is named although the best two are equal (bar: at most {MOST_FALSE:.0%}):")
    print(f"{'':63}{', '.join(map(str, SEEDS))} seeds; by asking with {', '.join(map(str, LOOKS))} until there is one:")
    for case, truth in EQUALS.items():
        for name, noise in NOISES.items():
            cells = []
            for seeds in SEEDS:
                named = [each.confirmed.champion is not None for each in among(rng, bars.count, truth, noise, seeds)]
                cells.append(bars.share(named, f"{case}, {name}, {seeds} seeds", high=MOST_FALSE))
            asked = [named_at_last(rng, truth, noise) for _ in range(bars.count)]
            cells.append(bars.share(asked, f"{case}, {name}, by asking again", high=MOST_FALSE))
            print(f"{case:46} {name:16}{' '.join(cells)}", flush=True)


def betters(rng: np.random.Generator, bars: Bars) -> None:
    """Prints how often the better one is named, and another one."""
    print(f"\nthe best by so many spreads is named / another one is (bar: at most {MOST_FALSE:.0%}):")
    for spreads, truth in BETTER.items():
        for seeds in SEEDS:
            found = among(rng, bars.count, truth, normal, seeds)
            named = bars.share([each.confirmed.champion is not None for each in found], "")
            what = f"another one by {spreads} spreads, {seeds} seeds"
            wrong = bars.share([each.wrong_champion() for each in found], what, high=MOST_FALSE)
            print(f"{spreads} spreads, {seeds:2} seeds: {named}/{wrong}", flush=True)


def main() -> None:
    """Prints the figures."""
    bars = Bars(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
    rng = np.random.default_rng(6)
    print(f"{bars.count} studies of each kind: {TOP} of {CONFIGURATIONS} configurations and {BASELINES} baselines\n")
    for part in (means, equals, betters):
        part(rng, bars)
    sys.exit("\n".join(["\nMissed:", *bars.missed]) if bars.missed else None)


if __name__ == "__main__":
    main()
