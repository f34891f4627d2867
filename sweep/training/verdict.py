"""What a training run prints at its end: how good the network is, beside what takes no network, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from rich.console import Console
from rich.table import Table

from data.evaluation import EvaluationSet
from sweep.metrics import NAMES, REFINED, Floats, measures, rmse_by_entry, title, zero_skill
from sweep.training.refine import without_network


def print_verdict(
    values: Mapping[str, float],
    beside: Mapping[str, Mapping[str, float]],
    predictions: Floats,
    judged_on: EvaluationSet,
    refine: int,
    console: Console,
) -> None:
    """Prints every measure beside those of what takes no network, then what is off where.

    Args:
        values: the network's measures, by their bare names.
        beside: the measures of what takes no network, by its name.
        predictions: the network's, in original units, in the shape of the truth.
        judged_on: the set that both are of.
        refine: Newton-Schulz steps after which `values` has measures, too; 0 if it has none.
        console: where to.
    """
    frozen = judged_on
    columns: dict[str, Mapping[str, float]] = {"this network": values}
    if refine:
        columns["refined"] = {name: values[f"{REFINED}{name}"] for name in NAMES}
        alone = without_network(frozen.inputs, refine)
        columns["steps alone"] = measures(frozen.inputs, frozen.truth, alone)
    columns |= beside
    title_refined = f"; refined: by {refine} Newton-Schulz steps" if refine else ""
    table = Table(title=f"Validation on {len(frozen.inputs):,} matrices, in original units{title_refined}")
    table.add_column("measure")
    for heading in columns:
        table.add_column(heading, justify="right")
    for name in NAMES:
        if name in values:
            table.add_row(title(name), *(f"{column[name]:.4g}" for column in columns.values()))
    console.print(table)
    if frozen.truth.ndim == frozen.inputs.ndim:
        print_entries("RMSE of each entry of the inverse", rmse_by_entry(frozen.truth, predictions), console)
        product = frozen.inputs[0].astype(np.float64) @ predictions[0]
        print_entries("A·X̂ of the first matrix, the identity if the prediction were perfect", product, console)


def print_held_out(held_out: EvaluationSet, predictions: Floats, rmse_after_last_step: float, console: Console) -> None:
    """Prints the error on what a pool holds out, after the last step and with the weights that are kept.

    Args:
        held_out: that part of the pool.
        predictions: with the weights that are kept, in original units.
        rmse_after_last_step: over all entries, with the weights after the last step.
        console: where to.
    """
    errors = rmse_by_entry(held_out.truth, predictions)
    kept, constant = np.sqrt(np.mean(np.square(errors))), zero_skill(held_out.inputs, held_out.truth)["rmse"]
    console.print(
        f"Held out of the pool, {len(held_out.inputs):,} matrices: RMSE {rmse_after_last_step:.4g} after the last "
        f"step, {kept:.4g} with the best weights, {constant:.4g} for the best constant",
        highlight=False,
    )
    if errors.ndim == 2:
        print_entries("RMSE of each entry, with the best weights", errors, console)


def print_entries(heading: str, entries: Floats, console: Console) -> None:
    """Prints a matrix `[n, n]` under a heading."""
    console.print(f"{heading}:")
    for row in entries:
        console.print("  " + " ".join(f"{entry:10.4g}" for entry in row), highlight=False)
