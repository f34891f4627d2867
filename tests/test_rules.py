"""Each data rule: what it keeps, what it changes, and the problem that it makes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from conf.schema import DataConfig
from data.matrices import Determinant, Floats, acceptance, det, draw
from data.rules import Rule, named, names
from data.stream import stream

RULES = [("above", 0.1), ("relative", 0.0125), ("rescaled", 1.0), ("none", 0.0)]

PLAIN = {
    ("above", 0.5): (0.09440, 1.3397, 3.826, 6.367),
    ("above", 1.0): (0.7617, 1.7452, 6.244, 27.63),
    ("above", 2.0): (0.9667, 2.4333, 7.530, 113.0),
    ("above", 4.0): (0.9958, 3.4474, 7.757, 281.6),
}
"""Acceptance, RMS of the inverse, and median and 99% quantile of its condition number ‖A‖·‖A⁻¹‖ (Frobenius): of 20
million plain draws at |det| > 0.1, 40 million at ±0.5, with LAPACK in float64. The RMS has a relative standard error of
0.14% at ±4 and less below; over a million matrices it has 0.63% at ±4, 0.22% at ±2, so that 2% can be held."""


def million(rule: str, value: float, low: float, high: float) -> tuple[Floats, Floats]:
    """A million matrices of the stream, in float64, and their inverses as labels say, float32: `[1000000, 3, 3]`."""
    source = DataConfig(3, [low, high], Determinant(rule, value), target_scale=1.0)
    matrices, labels = next(stream(source, 0, 1_000_000, steps=1).as_numpy_iterator())
    return matrices.astype(np.float64), labels.reshape(-1, 3, 3)


def rms(values: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def conditions(matrices: Floats, inverses: Floats) -> list[float]:
    """Median and 99% quantile of the condition number."""
    norms = [np.square(part, dtype=np.float64).sum(axis=(1, 2)) for part in (matrices, inverses)]
    return list(np.quantile(np.sqrt(norms[0] * norms[1]), [0.5, 0.99]))


def kept_of_a_million(determinant: Determinant, entry: float) -> float:
    """The share of a million of the stream's own draws that a rule keeps."""
    drawn, _ = million("none", 0.0, -entry, entry)
    return float(np.mean(determinant.keeps(det(drawn), 3, (-entry, entry))))


def worst_label_error(matrices: Floats, labels: Floats) -> float:
    """Of any entry, relative, against inverses by cross products of rows, which lose nothing of float32 entries."""
    a, b, c = np.moveaxis(matrices, 1, 0)
    columns = np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=-1)
    exact = columns / np.sum(a * columns[:, :, 0], axis=1)[:, None, None]
    return float(np.max(abs(labels / exact - 1)))


@pytest.mark.parametrize("entry", [0.5, 1.0, 2.0, 4.0])
def test_above_is_the_problem_of_plain_draws(entry: float) -> None:
    matrices, labels = million("above", 0.1, -entry, entry)
    share, root, median, high = PLAIN["above", entry]
    assert acceptance(3, (-entry, entry), Determinant("above", 0.1)) == pytest.approx(share, rel=0.02)
    assert kept_of_a_million(Determinant("above", 0.1), entry) == pytest.approx(share, rel=0.02)
    assert rms(labels) == pytest.approx(root, rel=0.02)
    assert conditions(matrices, labels) == pytest.approx([median, high], rel=0.02)
    assert abs(det(matrices)).min() > 0.1 * (1 - 1e-5)
    assert worst_label_error(matrices, labels) < 1e-7


@pytest.mark.parametrize("entry", [0.5, 3.0])
def test_relative_leaves_the_conditioning_alone_when_the_range_is_swept(entry: float) -> None:
    """0.0125 is 0.1 / 2³: at every range, the problem that a threshold of 0.1 is at ±2."""
    matrices, labels = million("relative", 0.0125, -entry, entry)
    share, root, median, high = PLAIN["above", 2.0]
    assert acceptance(3, (-entry, entry), Determinant("relative", 0.0125)) == pytest.approx(share, rel=0.02)
    assert kept_of_a_million(Determinant("relative", 0.0125), entry) == pytest.approx(share, rel=0.02)
    assert rms(labels) * entry == pytest.approx(root * 2, rel=0.02)
    assert conditions(matrices, labels) == pytest.approx([median, high], rel=0.02)
    assert worst_label_error(matrices, labels) < 1e-7


def test_relative_draws_the_same_matrices_at_every_range() -> None:
    """Where the ranges differ by a power of 2, to the last bit."""
    small, large = (
        next(stream(DataConfig(3, [-entry, entry], Determinant("relative", 0.0125)), 0, 5000).as_numpy_iterator())
        for entry in (0.5, 4.0)
    )
    np.testing.assert_array_equal(small[0] * 8, large[0])
    np.testing.assert_array_equal(small[1] / 8, large[1])


def test_rescaled_is_the_questions_problem() -> None:
    matrices, labels = million("rescaled", 1.0, 0.0, 100.0)
    assert acceptance(3, (0.0, 100.0), Determinant("rescaled", 1.0)) > 0.999
    determinants = np.linalg.det(matrices)
    assert abs(determinants - 1).max() < 0.0101
    assert np.median(abs(determinants - 1)) < 1e-6
    assert np.quantile(abs(determinants - 1), 0.999) < 1e-3
    # Column 0 holds the cofactors of row 0: u·v - w·z of four uniform entries has a variance of 2 (1/9 - 1/16) 100⁴.
    assert rms(labels[:, :, 0]) == pytest.approx(np.sqrt(7 / 72) * 1e4, rel=0.02)
    # The others are those of plain draws' inverses.
    assert np.median(abs(labels[:, :, 1:])) == pytest.approx(0.01908, rel=0.02)
    assert conditions(matrices, labels) == pytest.approx([6.14e5, 1.959e6], rel=0.02)
    assert worst_label_error(matrices, labels) < 1e-7


@pytest.mark.parametrize(
    ("low", "high", "median_entry", "condition"),
    [(-2.0, 2.0, 0.5669, (7.79, 391.7)), (0.0, 100.0, 0.01908, (14.02, 727))],
)
def test_none_is_every_plain_draw(low: float, high: float, median_entry: float, condition: tuple[float, float]) -> None:
    """Its root mean square has no limit, so it is known by its median, and its conditioning by quantiles."""
    matrices, labels = million("none", 0.0, low, high)
    assert acceptance(3, (low, high), Determinant("none", 0.0)) == 1.0
    assert np.median(abs(labels)) == pytest.approx(median_entry, rel=0.02)
    assert conditions(matrices, labels) == pytest.approx(condition, rel=0.02)
    assert worst_label_error(matrices, labels) < 1e-7


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_rescaled_changes_row_0_by_one_factor_and_nothing_else(size: int) -> None:
    """Both rules keep nearly everything, so they are given the same draws."""
    source = DataConfig(size, [0.0, 100.0], Determinant("none", 0.0))
    (plain, _), (rescaled, _) = (
        next(stream(replace(source, determinant=determinant), 3, 500).as_numpy_iterator())
        for determinant in (source.determinant, Determinant("rescaled", -7.0))
    )
    np.testing.assert_array_equal(rescaled[:, 1:], plain[:, 1:])
    factor = -7.0 / np.linalg.det(plain.astype(np.float64))
    np.testing.assert_allclose(rescaled[:, 0], plain[:, 0] * factor[:, None], rtol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
@pytest.mark.parametrize(("rule", "value"), RULES)
def test_evaluation_sets_are_drawn_by_the_same_rules(rule: str, value: float, size: int) -> None:
    matrices = draw(np.random.default_rng(0), 500, size, (-2.0, 2.0), Determinant(rule, value))
    assert matrices.shape == (500, size, size)
    assert matrices.dtype == np.float32
    assert abs(matrices[:, 1:]).max() <= 2
    determinants = np.linalg.det(matrices.astype(np.float64))
    least = {"above": 0.1, "relative": 0.0125 * 2**size, "rescaled": 0.99, "none": 0.0}[rule]
    assert abs(determinants).min() > least
    assert rule != "rescaled" or determinants.max() < 1.01
    assert rule == "rescaled" or 0.3 < np.mean(determinants > 0) < 0.7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", ["above", "relative", "rescaled", "none"])
def test_no_rule_keeps_what_has_no_inverse_to_learn(rule: str, dtype: type[np.floating]) -> None:
    smallest = np.finfo(dtype).tiny
    determinants = np.array([0, smallest / 2, -smallest / 2, 1, -1, np.inf, -np.inf, np.nan], dtype)
    kept = Determinant(rule, 0.0).keeps(determinants, 3, (-2.0, 2.0))
    assert kept.tolist() == [False, False, False, True, True, False, False, False]
    np.testing.assert_array_equal(Determinant(rule, 0.0).keeps(tf.constant(determinants), 3, (-2.0, 2.0)), kept)


@pytest.mark.parametrize(("rule", "value"), RULES)
def test_numpy_and_tensorflow_keep_the_same(rule: str, value: float) -> None:
    determinant = Determinant(rule, value)
    determinants = np.random.default_rng(0).normal(0, 0.2, 1000)
    kept = determinant.keeps(determinants, 2, (-1.0, 3.0))
    expected = {"above": 0.1, "relative": 0.0125 * 9, "rescaled": 0.0, "none": 0.0}[rule]
    assert kept.tolist() == (abs(determinants) > expected).tolist()
    np.testing.assert_array_equal(determinant.keeps(tf.constant(determinants), 2, (-1.0, 3.0)), kept)
    assert determinant.rescales == (rule == "rescaled")


@pytest.mark.parametrize(
    ("rule", "taken", "refused"),
    [
        ("above", [0, 0.1, 1e30], [-0.1, np.inf, np.nan]),
        ("relative", [0, 0.1, 1e30], [-0.1, np.inf, np.nan]),
        ("rescaled", [1, -3.5, 1e-30], [0, -0.0, np.inf, -np.inf, np.nan]),
        ("none", [0, -1, 0.1], [np.inf, np.nan]),
    ],
)
def test_each_rule_knows_its_values(rule: str, taken: list[float], refused: list[float]) -> None:
    assert all(named(rule).accepts(value) for value in taken)
    assert not any(named(rule).accepts(value) for value in refused)
    assert "number" in named(rule).allowed


@pytest.mark.parametrize("entry_range", [(0.0, 1e20), (-1e-20, 1e-20), (-3e38, 3e38)])
@pytest.mark.parametrize(("rule", "value"), [*RULES, ("rescaled", 0.0), ("rescaled", 1e-45)])
def test_matrices_beyond_float32_are_refused_instead_of_drawn_forever(
    rule: str, value: float, entry_range: tuple[float, float]
) -> None:
    if acceptance(3, entry_range, Determinant(rule, value)) > 0.001:  # then it can be drawn, of what float32 can hold
        assert rule == "rescaled"
        matrices = draw(np.random.default_rng(0), 10, 3, entry_range, Determinant(rule, value))
        assert np.linalg.det(matrices.astype(np.float64)) == pytest.approx(np.full(10, value), rel=0.011)
        return
    with pytest.raises(ValueError, match=r"determinant\.value: got .*, allowed is a value that keeps at least 0\.1%"):
        draw(np.random.default_rng(0), 1, 3, entry_range, Determinant(rule, value))


def test_every_file_is_a_rule() -> None:
    assert names() == ["above", "none", "relative", "rescaled"]
    assert all(isinstance(named(name), Rule) for name in names())


@pytest.mark.parametrize(
    "name", ["abov", "Above", "", ".above", "above.", "..", "nowhere.at.all", "os.path", "a b.c", "json"]
)
def test_unknown_rules_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"^determinant\.rule: got ") as refusal:
        named(name)
    assert str(refusal.value) == (
        f"determinant.rule: got {name!r}, allowed is one of above, none, relative, rescaled, "
        "or the dotted path of a module that has one"
    )
    with pytest.raises(ValueError, match=r"determinant\.rule"):
        acceptance(3, (-2.0, 2.0), Determinant(name))


ELSEWHERE = """
from data.rules import Rule

class Between(Rule):
    allowed = "a number above 1"

    def accepts(self, value):
        return value > 1

    def keeps(self, determinants, value, size, entry_range):
        return (determinants > 1) & (determinants < value)

RULE = Between()
"""


NUMPY_ALONE = """
import numpy
from data.rules import Rule

class NumpyAlone(Rule):
    def keeps(self, determinants, value, size, entry_range):
        return abs(determinants) > (0 if isinstance(determinants, numpy.ndarray) else 1e9)

RULE = NumpyAlone()
"""


def test_a_rule_that_keeps_nothing_in_tensorflow_is_an_error_not_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy_rules").mkdir()
    (tmp_path / "numpy_rules" / "alone.py").write_text(NUMPY_ALONE)
    monkeypatch.syspath_prepend(tmp_path)
    source = DataConfig(matrix_size=2, determinant=Determinant("numpy_rules.alone", 0.0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="alone, which keeps almost nothing in TensorFlow"):
        next(iter(stream(source, 0, 10)))


def test_a_rule_may_live_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "between.py").write_text(ELSEWHERE)
    (tmp_path / "house" / "broken.py").write_text("import a_library_that_is_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    determinant = Determinant("house.between", 3.0)
    assert named("house.between").accepts(3.0)
    drawn = draw(np.random.default_rng(0), 1000, 3, (-2.0, 2.0), determinant)
    streamed, _ = next(stream(DataConfig(determinant=determinant), 0, 1000).as_numpy_iterator())
    for matrices in (drawn, streamed):
        determinants = np.linalg.det(matrices.astype(np.float64))
        assert 1 - 1e-5 < determinants.min() < 1.1
        assert 2.9 < determinants.max() < 3 + 1e-5
    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_installed"):
        named("house.broken")
    with pytest.raises(ValueError, match=r"determinant\.rule: got 'house\.missing'"):
        named("house.missing")


def test_rules_load_no_tensorflow() -> None:
    program = (
        "import sys, data.matrices, data.evaluation, data.targets, data.rules as rules\n"
        "[rules.named(name) for name in rules.names()]\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
