"""The tables of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from sweep.engine.identity import IDENTITY
from sweep.results.leaderboard import BESIDE, metrics_of
from sweep.results.origin import CONFIRMED
from sweep.results.progress import params_line
from sweep.results.report.axis import Axis, text
from sweep.results.report.buckets import ENDS, end_of, parts
from sweep.results.report.costs import cheapest, costs
from sweep.results.report.evidence import Evidence, facts, last_report
from sweep.results.report.figures.importance import VERDICTS
from sweep.results.report.luck import Luck
from sweep.results.report.references import PREFIX
from sweep.results.report.table import Table
from sweep.results.words import counted

SIZE = ("parameters",)
"""Facts that it shows beside."""

CONFIRMATION = {
    "name": "configuration",
    "trial": "trial",
    "score": "in the study",
    "mean": "mean",
    "low": "low",
    "high": "high",
    "gap": "gap",
}
"""What is shown of a confirmation, with the headings."""

NOTHING = (None, None)

FIRST = 15
"""How many trials the leaderboard shows at once."""


def leaderboard(evidence: Evidence) -> Table | None:
    """The trials, best first, and what they are compared with; of several objectives, the front."""
    if not evidence.measured:
        return None
    trials = evidence.front if evidence.several else evidence.measured
    names = [objective.name for objective in evidence.objectives]
    axes = [axis for axis in evidence.axes if any(axis.key in trial.params for trial in trials)]
    metrics = [key for key in BESIDE if key not in names and any(key in metrics_of(trial) for trial in trials)]
    size = [name for name in SIZE if any(name in facts(trial) for trial in trials)]
    asked = {each.trial.number for each in evidence.references if each.kind == "enqueued" and each.trial}

    def cells(what: str, trial: FrozenTrial | None, values: Sequence[Any], measures: Mapping[str, float]) -> list[Any]:
        params = [_param(trial, axis) for axis in axes]
        told = [facts(trial).get(name) if trial else None for name in size]
        return [what, *values, *params, *(measures.get(key) for key in metrics), *told, _seconds(trial)]

    rows = []
    for rank, trial in enumerate(trials, 1):
        what = "enqueued" if trial.number in asked else ""
        rows.append((rank, trial.number, *cells(what, trial, trial.values, metrics_of(trial))))
    compared = []
    for each in evidence.beside:
        what = f"baseline {each.name}" if each.kind == "baseline" else each.name
        compared.append((None, None, *cells(what, each.trial, each.values, each.metrics)))
    return Table(
        "Pareto front" if evidence.several else "Leaderboard",
        ("rank", "trial", "what", *names, *(axis.name for axis in axes), *metrics, *size, "seconds"),
        (*rows[:FIRST], *compared, *rows[FIRST:]),
        "The value of the best of many is better than what the same configuration gets again: sweep confirm trains it "
        "on seeds that the study has not seen.",
        first=FIRST + len(compared),
        short=BESIDE,
        shares=frozenset(key for key in metrics if key.endswith("pct")),
    )


def confirmed(evidence: Evidence) -> Table | None:
    """What `sweep confirm` has found, if it was asked."""
    known = evidence.attributes.get(CONFIRMED) or {}
    rows = tuple(tuple(each.get(key) for key in CONFIRMATION) for each in known.get("candidates", []))
    if not rows:
        return None
    seeds = len(known.get("seeds", []))
    return Table(
        "Confirmed",
        tuple(CONFIRMATION.values()),
        rows,
        f"{known.get('objective', '')} on the test set, with {counted(seeds, 'seed')} that the study has not seen. The "
        "gap is what a value loses when it is no longer the best of many.",
    )


def scientific(evidence: Evidence) -> Table | None:
    """Each value of the scientific parameters, at its best setting of everything else."""
    rows = [
        (each.key, v.label, v.trials, v.best, v.trial, v.middle, v.low, v.high, params_line(v.setting))
        for each in (evidence.roles.comparisons if evidence.roles else ())
        for v in each.values
    ]
    columns = ("parameter", "value", "trials", "best", "trial", "of equally many", "low", "high", "at")
    caption = (
        "Between low and high are 95% of the best of equally many; where they lie apart, that alone proves nothing."
    )
    return Table("What the study asks about", columns, tuple(rows), caption) if rows else None


def importance(evidence: Evidence) -> Table | None:
    """All measures with their intervals, and what can be said."""
    rows = [
        (
            *((objective.name,) if evidence.several else ()),
            each.param,
            VERDICTS[each.matters],
            *(each.share, *(each.share_interval or NOTHING)),
            *(each.ped_anova, *(each.ped_anova_interval or NOTHING)),
            *(each.fanova, *(each.fanova_interval or NOTHING)),
        )
        for objective, found in zip(evidence.objectives, evidence.importances, strict=False)
        for each in found.params
    ]
    measures = [f"{name}{end}" for name in ("share", "PED-ANOVA", "fANOVA") for end in ("", " low", " high")]
    columns = (*(("objective",) if evidence.several else ()), "parameter", "verdict", *measures)
    caption = "Low and high are the ends of 95% intervals."
    return Table("Importance", columns, tuple(rows), caption) if rows else None


def together(evidence: Evidence) -> Table | None:
    """What every two parameters do together, beyond what each does alone."""
    rows = [
        (objective.name, *each.params, VERDICTS[each.matters], each.share, *each.share_interval)
        for objective, found in zip(evidence.objectives, evidence.importances, strict=False)
        for each in found.together
    ]
    columns = ("objective", "parameter", "and", "verdict", "share", "share low", "share high")
    return Table("What two parameters do together", columns, tuple(rows), first=0) if rows else None


def isolation(evidence: Evidence) -> Table | None:
    """The best value in each part of each parameter's range."""
    rows = []
    for axis in (*evidence.ordered, *(axis for axis in evidence.axes if not axis.varies)):
        for part in parts(evidence, axis):
            best = part.measured[0].number if part.measured else None
            values = [_finite(part.value(rank)) for rank in (1, 3)]
            rows.append((axis.key, part.bucket.label, len(part.measured), *values, best))
    if not rows or evidence.several:
        return None
    columns = ("parameter", "values", "trials with a result", "best", "third best", "trial")
    return Table("The best in each part of each range", columns, tuple(rows), first=0)


def regions(evidence: Evidence) -> Table | None:
    """What came of the trials in each part of each parameter's range."""
    rows = [
        (axis.key, part.bucket.label, part.ended, *(part.ends[end] for end in ENDS))
        for axis in evidence.ordered
        for part in parts(evidence, axis)
    ]
    columns = ("parameter", "values", "ended", *ENDS)
    return Table("What came of the trials", columns, tuple(rows), first=0) if rows else None


def best_of_n(evidence: Evidence) -> Table | None:
    """What the best of n trials can be expected to be."""
    luck = Luck.of(evidence)
    if luck is None:
        return None
    rows = zip(luck.trials, luck.expected, luck.low, luck.high, luck.actual, strict=True)
    columns = ("n", "expected best", "low", "high", "best so far in this study")
    return Table("The best of n", columns, tuple((int(n), *map(float, row)) for n, *row in rows), first=0)


def cost(evidence: Evidence) -> Table | None:
    """For each cost the trials of which none other is both cheaper and better."""
    if evidence.several:
        return None
    rows = [
        (each.name, each.of[trial.number], trial.values[0], trial.number)
        for each in costs(evidence)
        for trial in cheapest(evidence, each)
    ]
    columns = ("cost", "amount", evidence.objective.name, "trial")
    return Table("The fronts of cost and value", columns, tuple(rows), first=0) if rows else None


def trials(evidence: Evidence) -> Table | None:
    """Every trial with everything that is known of it."""
    if not evidence.trials:
        return None
    objectives = {objective.name for objective in evidence.objectives}
    metrics = sorted({name for trial in evidence.trials for name in metrics_of(trial)} - objectives)
    told = sorted({n for trial in evidence.trials for n in facts(trial) if not n.startswith(PREFIX)})
    named = {objective.index: objective.name for objective in evidence.objectives}
    rows = [
        (
            trial.number,
            end_of(trial) or trial.state.name.lower(),
            *(trial.values[index] if end_of(trial) == "complete" else None for index in named),
            _finite(last_report(trial)),
            *(_param(trial, axis) for axis in evidence.axes),
            _seconds(trial),
            " ".join(str(trial.user_attrs.get("reason", "")).split()),
            *(metrics_of(trial).get(name) for name in metrics),
            *(facts(trial).get(name) for name in told),
        )
        for trial in evidence.trials
    ]
    keys = [axis.key for axis in evidence.axes]
    columns = ("trial", "state", *named.values(), "last report", *keys, "seconds", "reason", *metrics, *told)
    seen = 5 + len(named) + len(keys)
    return Table("All trials", columns, tuple(rows), "The file has their metrics, too.", seen, first=0)


def fixed(evidence: Evidence) -> Table | None:
    """What did not vary: whatever the study found, it found for these values."""
    known = evidence.attributes.get(IDENTITY, {}).get("fixed", {})
    rows = tuple((key, text(value)) for key, value in sorted(known.items()))
    return Table("What was fixed", ("key", "value"), rows, first=0) if rows else None


def _param(trial: FrozenTrial | None, axis: Axis) -> Any:
    if trial is None or axis.key not in trial.params:
        return None
    value = trial.params[axis.key]
    return text(value) if axis.choices is not None else value


def _seconds(trial: FrozenTrial | None) -> float | None:
    return round(trial.duration.total_seconds(), 3) if trial and trial.duration else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
