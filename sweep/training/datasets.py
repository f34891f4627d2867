"""What a network is trained and judged on, told to its trial: recipes and digests, no sample."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from conf.schema import Config
from data.evaluation import EvaluationSet
from data.pool import trained_on
from data.targets import Target
from sweep.engine.trial import current_trial


def tell_datasets(settings: Config, judged_on: EvaluationSet) -> None:
    """Tells the current trial of the frozen evaluation set and of the stream, or pool, that it is trained on.

    The evaluation set's digest is its own. That of what is trained on covers the recipe of its samples and the seed,
    which decide each of them; the batch size, which only cuts them into steps, is told beside it.

    Args:
        settings: the whole configuration.
        judged_on: the evaluation set.
    """
    trial = current_trial()
    judged = settings.evaluation
    trial.use_dataset(
        "validation matrices",
        judged_on.digest,
        "evaluation",
        _columns(judged.matrix_size, judged.target, "float64"),
        size=judged.size,
        **_matrices(judged),
        seed=judged.seed,
        units="original",
    )
    data = settings.data
    samples: dict[str, Any] = {
        "num_samples": data.num_samples or "endless",
        **_matrices(data),
        "target_scale": data.target_scale,
        "compression": data.compression.value,
        "input_norm": data.input_norm,
        "seed": settings.seed,
    }
    if data.num_samples is not None:
        samples["held_out"] = data.num_samples - trained_on(data)
    trial.use_dataset(
        "endless stream of matrices" if data.num_samples is None else "pool of matrices",
        hashlib.sha256(json.dumps(samples, sort_keys=True).encode()).hexdigest()[:16],
        "training",
        _columns(data.matrix_size, data.target, "float32"),
        **samples,
        batch_size=settings.train.batch_size,
        units="trained",
    )


def _matrices(recipe: Any) -> dict[str, Any]:
    """How matrices are drawn, of `data` or of `evaluation`."""
    rule = recipe.determinant
    return {
        "matrix_size": recipe.matrix_size,
        "entry_range": [float(bound) for bound in recipe.entry_range],
        "determinant_rule": rule.rule if rule.rule == "none" else f"{rule.rule} {rule.value:g}",
        "target": recipe.target.value,
    }


def _columns(size: int, target: Target, dtype: str) -> dict[str, str]:
    """The shapes of a sample: the matrix, and what is to be predicted of it."""
    shape = f"({size}, {size})"
    return {"matrix": f"float32 {shape}", target.value: f"{dtype} {shape if target is Target.inverse else '(1)'}"}
