from pathlib import Path

import numpy as np
import pytest

from data.matrices import Determinant, draw
from data.targets import Target, truth
from sweep.training.conditioning import save_conditioning
from sweep.training.scatter import save_scatter


def drawn(count: int) -> np.ndarray:
    return draw(np.random.default_rng(0), count, 3, (-2.0, 2.0), Determinant("above", 0.1))


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG."""
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    return int.from_bytes(content[16:20]), int.from_bytes(content[20:24])


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
    assert size(tmp_path / "conditioning.png") == size(tmp_path / "scatter.png") == (780, 780)
