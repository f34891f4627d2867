"""The answer, in a few sentences: what is best, how much better than what, and what matters."""

from __future__ import annotations

import math

from sweep.results.leaderboard import counts_line, number, states
from sweep.results.origin import CONFIRMED
from sweep.results.progress import params_line
from sweep.results.report.evidence import Evidence
from sweep.results.report.references import Reference
from sweep.results.words import counted


def answer(evidence: Evidence) -> list[str]:
    """The sentences, the most important first."""
    if not evidence.measured:
        return [_nothing(evidence)]
    said = [_front(evidence) if evidence.several else _best(evidence)]
    others = [*evidence.beside, *(each for each in evidence.references if each.kind == "enqueued")]
    compared = [text for each in others if (text := _compared(evidence, each))]
    if compared:
        said.append(f"Compared with what the study was measured against: {'; '.join(compared)}.")
    if verdict := (evidence.attributes.get(CONFIRMED) or {}).get("verdict"):
        said.append(f"Confirmed with new seeds, on the test set: {verdict}")
    said += [" ".join(found.sentences) for found in evidence.importances]
    if evidence.roles and evidence.roles.comparisons:
        said.append(" ".join(evidence.roles.sentences))
    return said


def _best(evidence: Evidence) -> str:
    best, objective = evidence.measured[0], evidence.objective
    name = objective.name if objective.words == objective.name else f"{objective.name} ({objective.words})"
    found = f"The best of {counted(len(evidence.measured), 'trial')} with a result is trial {best.number}"
    settings = f", with {params_line(best.params)}" if best.params else ""
    return f"{found}: {name} is {number(best.values[0])}{settings}."


def _front(evidence: Evidence) -> str:
    names = " and ".join(f"{each.name} ({each.direction})" for each in evidence.objectives)
    ends = [
        f"{number(each.best(trial.values[each.index] for trial in evidence.front))} in {each.name}"
        for each in evidence.objectives
    ]
    return (
        f"The objectives are {names}. Of {counted(len(evidence.measured), 'trial')} with a result, "
        f"{len(evidence.front)} are on the Pareto front; alone, the best is {', '.join(ends)}."
    )


def _compared(evidence: Evidence, each: Reference) -> str:
    value, best = each.values[0], evidence.measured[0].values[0]
    if evidence.several or value is None or (each.trial and each.trial.number == evidence.measured[0].number):
        return ""
    kind = {"baseline": "baseline ", "enqueued": "the enqueued "}.get(each.kind, "")
    if not evidence.objective.better(best, value):
        return f"{kind}{each.name} has {_beside(value, best)}, which is not worse"
    return f"{kind}{each.name} has {_beside(value, best)}{_factor(evidence, value, best)}"


def _beside(value: float, best: float) -> str:
    """A value as it stands beside the best, with no more digits behind the point: what is nearly zero is zero."""
    return number(round(value, 3 - math.floor(math.log10(abs(best)))) if best else value)


def _factor(evidence: Evidence, value: float, best: float) -> str:
    """How many times better the best is, where that can be said."""
    if evidence.objective.name.rpartition("/")[2].startswith("log10_") and evidence.objective.minimized:
        times = 10 ** (value - best)
        return f" ({number(times, 3)} times the error of the best)" if math.isfinite(times) else ""
    if evidence.objective.minimized and best > 0:
        return f" ({number(value / best, 3)} times that of the best)"
    return ""


def _nothing(evidence: Evidence) -> str:
    return (
        f"No trial has a result that can be compared, so there is no best one: {counts_line(states(evidence.study))}. "
        "What is below says how the trials ended, and where in the search space."
    )
