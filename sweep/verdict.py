"""What a training run prints at its end: how good the network is, beside what takes no network."""

import numpy as np
from rich.console import Console
from rich.table import Table

from data.evaluation import EvaluationSet
from sweep.metrics import NAMES, Floats, best_linear, title, zero_skill


def print_verdict(measures: dict[str, float], predictions: Floats, judged_on: EvaluationSet, console: Console) -> None:
    """Prints every measure beside those of the best constant and the best linear map, then A·X̂ of the first matrix.

    Args:
        measures: the network's, by their bare names.
        predictions: the network's, `[size, n, n]`, in original units.
        judged_on: the set that both are of.
        console: where to.
    """
    constant, linear = (f(judged_on.inputs, judged_on.inverses) for f in (zero_skill, best_linear))
    table = Table(title=f"Validation on {len(judged_on.inputs):,} matrices, in original units")
    table.add_column("measure")
    for heading in ("this network", "zero skill", "best linear"):
        table.add_column(heading, justify="right")
    for name in NAMES:
        table.add_row(title(name), *(f"{column[name]:.4f}" for column in (measures, constant, linear)))
    console.print(table)
    product = judged_on.inputs[0].astype(np.float64) @ predictions[0]
    console.print("A·X̂ of the first matrix, the identity if the prediction were perfect:")
    for row in product:
        console.print("  " + " ".join(f"{entry:8.3f}" for entry in row), highlight=False)
