"""What each data rule does to 3×3 matrices and their inverses.

    python -m benchmarks.data_rules [millions]

For each rule and entry range, over a million matrices (or more) of the training stream: the share of draws that is
kept, the root mean square of the inverse and of its first column, the median and the 99% quantile of the condition
number ‖A‖·‖A⁻¹‖ (Frobenius), and the worst relative error of a label, entry by entry, against float64. Below it the
same for as many plain draws, in float64 with LAPACK, and the ratios of ours to those. Where nearly singular matrices
are kept, the root mean square has no limit: it is that of the worst few.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np

from conf.schema import DataConfig
from data.matrices import Determinant, Floats, det
from data.stream import stream

CHUNK = 500_000


@dataclass
class Case:
    """A rule on entries in [low, high]. Plain draws keep matrices where |det| > threshold."""

    rule: str
    value: float
    low: float
    high: float
    threshold: float = 0.0

    @property
    def determinant(self) -> Determinant:
        """The rule and its number."""
        return Determinant(self.rule, self.value)


CASES = [
    *(Case("above", 0.1, -c, c, 0.1) for c in (0.5, 1.0, 2.0, 4.0)),
    *(Case("relative", 0.0125, -c, c, 0.0125 * c**3) for c in (0.5, 1.0, 2.0, 4.0)),
    Case("rescaled", 1.0, 0.0, 100.0),
    Case("none", 0.0, -2.0, 2.0),
    Case("none", 0.0, 0.0, 100.0),
]


def cofactor_inverse(matrices: Floats) -> Floats:
    """Inverses `[count, 3, 3]`, float64, by the cross products of rows, which lose nothing of float32 entries."""
    a, b, c = np.moveaxis(matrices.astype(np.float64), 1, 0)
    columns = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-1)
    return np.asarray(columns / np.sum(a * columns[:, :, 0], axis=1)[:, None, None])


class Figures:
    """What is measured of matrices and their inverses, chunk by chunk."""

    def __init__(self) -> None:
        self.count = 0
        self.squares = np.zeros(3)
        self.conditions: list[Floats] = []

    def add(self, matrices: Floats, inverses: Floats) -> None:
        """Takes in a chunk, float64 `[count, 3, 3]`."""
        squares = np.square(inverses)
        self.count += len(matrices)
        self.squares += squares.sum(axis=(0, 1))
        self.conditions.append(np.sqrt(np.square(matrices).sum(axis=(1, 2)) * squares.sum(axis=(1, 2))))

    def values(self) -> list[float]:
        """RMS of all entries, RMS of column 0, median and 99% quantile of the condition number."""
        rms = float(np.sqrt(self.squares.sum() / self.count / 9))
        first = float(np.sqrt(self.squares[0] / self.count / 3))
        median, high = np.quantile(np.concatenate(self.conditions), [0.5, 0.99])
        return [rms, first, float(median), float(high)]


def streamed(case: Case, millions: int) -> tuple[list[float], float]:
    """The stream's figures, acceptance first, and the worst relative error of a label."""
    source = DataConfig(3, [case.low, case.high], case.determinant, target_scale=1.0)
    figures, worst = Figures(), 0.0
    for matrices, targets in stream(source, 0, CHUNK, steps=millions * 1_000_000 // CHUNK).as_numpy_iterator():
        exact = cofactor_inverse(matrices)
        worst = max(worst, float(np.max(abs(targets.reshape(-1, 3, 3) / exact - 1))))
        figures.add(matrices.astype(np.float64), exact)
    drawn = stream(replace(source, determinant=Determinant("none", 0.0)), 0, CHUNK, steps=millions * 1_000_000 // CHUNK)
    bounds = (case.low, case.high)
    shares = [np.mean(case.determinant.keeps(det(part), 3, bounds)) for part, _ in drawn.as_numpy_iterator()]
    return [float(np.mean(shares)), *figures.values()], worst


def plain(case: Case, millions: int) -> list[float]:
    """The same of plain draws: as many matrices, before the rule."""
    rng, figures, drawn = np.random.default_rng(1), Figures(), millions * 1_000_000
    for _ in range(drawn // CHUNK):
        matrices = rng.uniform(case.low, case.high, (CHUNK, 3, 3))
        determinants = np.linalg.det(matrices)
        matrices, determinants = (part[abs(determinants) > case.threshold] for part in (matrices, determinants))
        if case.rule == "rescaled":
            matrices[:, 0] *= (case.value / determinants)[:, None]
        figures.add(matrices, np.linalg.inv(matrices))
    return [figures.count / drawn, *figures.values()]


def main() -> None:
    """Measures and prints a table."""
    millions = int((sys.argv[1:] or ["1"])[0])
    print(f"{millions} million 3×3 matrices a rule")
    heads = "".join(f"{head:>12s}" for head in ("acceptance", "RMS", "RMS col. 0", "cond. 50%", "cond. 99%"))
    print(f"{'rule, value, entries':30s}{heads}   worst label error")
    for case in CASES:
        ours, worst = streamed(case, millions)
        reference = plain(case, millions)
        name = f"{case.rule} {case.value:g} [{case.low:g}, {case.high:g}]"
        ratios = [mine / theirs for mine, theirs in zip(ours, reference, strict=True)]
        print(f"{name:30s}" + "".join(f"{value:12.5g}" for value in ours) + f"   {worst:.1e}")
        print(f"{'  plain draws':30s}" + "".join(f"{value:12.5g}" for value in reference))
        print(f"{'  ratio':30s}" + "".join(f"{value:12.4f}" for value in ratios), flush=True)


if __name__ == "__main__":
    main()
