"""The pictures that a training ends with."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from data.matrices import Determinant, draw
from data.targets import Target, truth
from sweep.training.conditioning import save_conditioning
from sweep.training.scatter import save_scatter


def drawn(count: int) -> np.ndarray:
    return draw(np.random.default_rng(0), count, 3, (-2.0, 2.0), Determinant("above", 0.1))


def dots(path: Path, axes: tuple[slice, slice], legend: tuple[slice, slice] = (slice(0), slice(0))) -> int:
    """Pixels of a picture that are blue, as matrices and entries are, in these rows and columns but the legend's."""
    picture = imread(path)
    assert picture.shape[:2] == (780, 780)
    blue = picture[..., 2] - picture[..., 0] > 0.05
    blue[legend] = False
    return int(np.count_nonzero(blue[axes]))


def conditioning_dots(path: Path) -> int:
    return dots(path, (slice(80, 538), slice(103, 755)))  # the upper of its axes


def scatter_dots(path: Path) -> int:
    return dots(path, (slice(50, 708), slice(97, 755)), legend=(slice(50, 115), slice(97, 370)))


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("count", [1, 30, 3000])
@pytest.mark.parametrize("error", [0.0, 1e-3, 1e6])
def test_pictures_are_drawn_of_few_matrices_and_many_of_good_networks_and_bad(
    tmp_path: Path, target: Target, count: int, error: float
) -> None:
    matrices = drawn(count)
    true = truth(matrices.astype(np.float64), target)
    predictions = true * (1 + error)
    save_conditioning(matrices, true, predictions, tmp_path / "conditioning.png", "a network")
    save_scatter(true, predictions, tmp_path / "scatter.png", "a network")
    assert conditioning_dots(tmp_path / "conditioning.png") > 0
    assert (scatter_dots(tmp_path / "scatter.png") > 0) == (error < 1), "beyond the axes nothing is drawn"


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("count", [1, 7, 30])
def test_what_is_not_finite_is_left_out(tmp_path: Path, wrong: float, count: int) -> None:
    matrices = drawn(30)
    true = truth(matrices.astype(np.float64), Target.inverse)
    predictions = true * 1.5
    predictions[:count, 0, 1] = wrong
    save_conditioning(matrices, true, predictions, tmp_path / "conditioning.png", "a network")
    save_scatter(true, predictions, tmp_path / "scatter.png", "a network")
    assert (conditioning_dots(tmp_path / "conditioning.png") > 0) == (count < 30)
    assert scatter_dots(tmp_path / "scatter.png") > 0, "of the entries that are finite"
