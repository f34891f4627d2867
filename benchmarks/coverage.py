"""Whether what `sweep confirm` states is true as often as it says, on studies whose truth is known.

`python -m benchmarks.coverage [STUDIES]`: simulates studies (1,000 of each kind unless told). A study has 64
configurations whose true objectives are drawn; it scores each once, with noise, and its best three are confirmed with
fresh seeds beside two baselines, by the code that `sweep confirm` uses. Noise has a part that all configurations share
for a seed and a part of each one's own. Prints, for several shapes of noise, how often the 95% intervals hold the true
mean, and how often a champion is named that is none. Nothing is trained: it takes some minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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


NOISES: dict[str, Noise] = {"normal": normal, "skewed": skewed, "heavy tails": heavy, "unequal spreads": unequal}


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
        return [row.mean.low <= self.truth[row.name] <= row.mean.high for row in self.confirmed.rows]

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


def confirm(rng: np.random.Generator, truth: Floats, scores: Floats, noise: Noise, seeds: int) -> Simulated:
    """Confirms candidates; the last `BASELINES` of them are baselines.

    Args:
        rng: draws the noise.
        truth: the true mean of each.
        scores: what each has reached in its study.
        noise: of a training.
        seeds: how many trainings each has.
    """
    own = len(truth) - BASELINES
    names = [f"trial {i}" if i < own else f"baseline {i - own}" for i in range(len(truth))]
    candidates = [
        Candidate(Configuration(name, (), OmegaConf.create(), name), i if i < own else None, {}, float(scores[i]))
        for i, name in enumerate(names)
    ]
    drawn = truth[:, None] + noise(rng, (len(truth), seeds)) + SHARED * rng.normal(size=seeds)
    found = conclude("objective", True, candidates, list(range(seeds)), drawn, {}, None)
    return Simulated(found, dict(zip(names, map(float, truth), strict=True)))


def studies(rng: np.random.Generator, count: int, noise: Noise, seeds: int) -> Iterator[Simulated]:
    """Studies of `CONFIGURATIONS`, whose best by one noisy score are confirmed beside baselines that are worse."""
    for _ in range(count):
        truth = rng.normal(size=CONFIGURATIONS)
        scored = truth + noise(rng, (CONFIGURATIONS, 1))[:, 0]
        best = np.argsort(scored)[:TOP]
        baselines = rng.normal(2, 1, size=BASELINES)
        yield confirm(rng, np.append(truth[best], baselines), np.append(scored[best], baselines), noise, seeds)


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
    return [confirm(rng, np.array(truth), np.array(truth), noise, seeds) for _ in range(count)]


def share(of: list[bool]) -> str:
    """How many are true, in percent."""
    return f"{np.mean(of):6.1%}"


def main() -> None:
    """Prints the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rng = np.random.default_rng(6)
    print(f"{count} studies of each kind: 3 of {CONFIGURATIONS} configurations and {BASELINES} baselines confirmed\n")
    print("held by their 95% intervals:        means  of the best   differences        | gap to the study's score")
    for name, noise in NOISES.items():
        for seeds in (3, 5, 10):
            found = list(studies(rng, count, noise, seeds))
            means = [held for each in found for held in each.held()]
            differences = [held for each in found for held in each.held_differences()]
            gaps = [row.gap for each in found for row in each.confirmed.rows if row.trial is not None and row.gap]
            columns = share(means), share([each.held_best() for each in found]), share(differences)
            print(
                f"{name:16} {seeds:2} seeds           {columns[0]}  {columns[1]}        {columns[2]}        | ", end=""
            )
            print(f"{np.mean(gaps):+.2f}")
    print("\nno champion is named (bar: at least 93% where the best two are equal):")
    for case, truth in EQUALS.items():
        for name, noise in NOISES.items():
            none = [[not each.confirmed.champion for each in among(rng, count, truth, noise, n)] for n in (3, 5, 10)]
            print(f"{case:46} {name:16} 3, 5, 10 seeds: {', '.join(map(share, none))}")
    print("\nthe best by so many spreads is named / another one is:")
    for spreads, truth in BETTER.items():
        for seeds in (3, 5, 10):
            found = among(rng, count, truth, normal, seeds)
            named, wrong = [bool(e.confirmed.champion) for e in found], [e.wrong_champion() for e in found]
            print(f"{spreads} spreads, {seeds:2} seeds: {share(named)} /{share(wrong)}")


if __name__ == "__main__":
    main()
