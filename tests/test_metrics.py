import numpy as np
import pytest

from conf.schema import EvaluationConfig
from data.evaluation import EvaluationSet, evaluation_set
from sweep.metrics import NAMES, best_linear, better, improves, measures, names, rmse_by_entry, title, zero_skill


@pytest.fixture(scope="module")
def frozen() -> EvaluationSet:
    return evaluation_set(EvaluationConfig(), "validation")


def test_names_and_directions_are_fixed() -> None:
    expected = (
        *("rmse", "r2", "rel_error_gm", "log10_rel_error", "rel_error_median", "rel_error_p90", "rel_error_p99"),
        *("within_5pct", "within_1pct", "residual_median", "residual_p90"),
    )
    assert expected == NAMES
    assert {name for name in NAMES if better(f"val/{name}") == "maximize"} == {"r2", "within_5pct", "within_1pct"}
    assert all(title(name) for name in NAMES)


def test_an_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match=r"objective\.metric: got val/rms, allowed is one of val/rmse, val/r2"):
        better("val/rms")


def test_a_perfect_prediction(frozen: EvaluationSet) -> None:
    perfect = measures(frozen.inputs, frozen.truth, frozen.truth)
    assert perfect["rmse"] == perfect["rel_error_p99"] == 0.0
    assert perfect["r2"] == perfect["within_1pct"] == 1.0
    assert perfect["residual_p90"] < 1e-10
    assert perfect["log10_rel_error"] == pytest.approx(np.log10(np.finfo(np.float64).eps))


def test_a_prediction_that_is_three_percent_off(frozen: EvaluationSet) -> None:
    off = measures(frozen.inputs, frozen.truth, frozen.truth * 1.03)
    for name in ("rel_error_gm", "rel_error_median", "rel_error_p90", "rel_error_p99"):
        assert off[name] == pytest.approx(0.03)
    assert off["log10_rel_error"] == pytest.approx(np.log10(0.03))
    assert (off["within_5pct"], off["within_1pct"]) == (1.0, 0.0)
    assert off["residual_median"] == pytest.approx(0.03 * np.sqrt(3))


def test_measures_by_hand() -> None:
    matrices = np.stack([np.eye(2), 2 * np.eye(2)])
    inverses = np.stack([np.eye(2), 0.5 * np.eye(2)])
    predictions = np.array([[[1.0, 0.3], [0.4, 1.0]], [[0.5, 0.0], [0.0, 0.5]]])
    values = measures(matrices, inverses, predictions)
    assert values["rmse"] == pytest.approx(np.sqrt(0.25 / 8))
    assert values["rel_error_median"] == pytest.approx(0.5 / np.sqrt(2) / 2)
    assert values["residual_median"] == pytest.approx(0.25)
    assert values["within_5pct"] == 0.5
    assert values["r2"] == pytest.approx(1 - 0.25 / (4 * 0.25**2))


def test_baselines_are_what_was_measured(frozen: EvaluationSet) -> None:
    constant, linear = (f(frozen.inputs, frozen.truth) for f in (zero_skill, best_linear))
    assert constant["rmse"] == pytest.approx(2.438, abs=0.03)
    assert constant["r2"] == pytest.approx(0.0, abs=1e-12)
    assert constant["rel_error_median"] == pytest.approx(1.0, abs=1e-3)
    assert linear["rmse"] == pytest.approx(2.421, abs=0.03)
    assert linear["rmse"] < constant["rmse"]


def test_no_affine_map_beats_the_best_linear_one(frozen: EvaluationSet) -> None:
    inputs, inverses = frozen.inputs[:500], frozen.truth[:500]
    best = best_linear(inputs, inverses)["rmse"]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        flat = inputs.reshape(-1, 9) @ rng.normal(0, 0.1, (9, 9)) + rng.normal(0, 0.1, 9)
        assert measures(inputs, inverses, flat.reshape(-1, 3, 3))["rmse"] > best


def test_what_is_not_finite_is_reported_not_raised(frozen: EvaluationSet) -> None:
    predictions = frozen.truth.astype(np.float32)
    predictions[0] = np.inf
    predictions[1] = np.nan
    values = measures(frozen.inputs, frozen.truth, predictions)
    assert tuple(values) == NAMES
    assert not any(np.isfinite(list(values.values())))


def test_improves_knows_the_direction_and_what_is_finite() -> None:
    assert improves("val/rmse", 1.0, 2.0)
    assert not improves("val/rmse", 2.0, 1.0)
    assert improves("val/r2", 2.0, 1.0)
    assert not improves("val/r2", 1.0, 1.0)
    assert improves("val/r2", -5.0, None)
    assert not improves("val/rmse", float("nan"), None)
    assert not improves("val/r2", float("inf"), 0.0)


def test_determinants_have_every_measure_but_residuals() -> None:
    matrices = np.stack([2 * np.eye(2), 3 * np.eye(2)])
    values = measures(matrices, np.array([[4.0], [9.0]]), np.array([[5.0], [9.0]]))
    assert tuple(values) == names(inverse=False, refined=False) == NAMES[:-2]
    assert values["rmse"] == pytest.approx(np.sqrt(0.5))
    assert values["rel_error_p99"] == pytest.approx(0.25 * 0.99)
    assert values["within_5pct"] == 0.5
    assert zero_skill(matrices, np.array([[4.0], [9.0]]))["rmse"] == pytest.approx(2.5)
    assert best_linear(matrices, np.array([[4.0], [9.0]]))["rmse"] == pytest.approx(0.0, abs=1e-9)


def test_refined_measures_are_named_apart_and_better_in_the_same_way() -> None:
    both = names(inverse=True, refined=True)
    assert both == (*NAMES, *(f"refined_{name}" for name in NAMES))
    assert all(better(f"val/refined_{name}") == better(f"val/{name}") for name in NAMES)


def test_errors_of_each_entry_apart(frozen: EvaluationSet) -> None:
    off = frozen.truth.copy()
    off[:, 0, 2] += 3.0
    by_entry = rmse_by_entry(frozen.truth, off)
    assert by_entry[0, 2] == pytest.approx(3.0)
    assert by_entry.sum() == pytest.approx(3.0)
    overall = measures(frozen.inputs, frozen.truth, off)["rmse"]
    assert overall == pytest.approx(np.sqrt(np.mean(by_entry**2)))
