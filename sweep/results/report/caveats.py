"""What a reader of the report should be warned of. Each looks at the evidence, and says nothing where all is well."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from sweep.engine.study import N_TRIALS, NOT_COMPARABLE, REPEAT_OF, is_feasible
from sweep.results.leaderboard import number
from sweep.results.progress import params_line
from sweep.results.report.buckets import end_of
from sweep.results.report.evidence import Evidence, facts
from sweep.results.words import counted, listed

CHANCE = 0.01
"""How probable it may be that so many of the top trials are at an edge by chance."""

PER_PARAMETER = 10
"""How many trials with a result, for each parameter, conclusions take."""

FAILED, DIVERGED = 0.1, 0.25
"""Shares of trials above which failing, or diverging, is worth a word."""

AT_THE_END = 0.5
"""Which share of the top trials may be best at their last report."""

LEAST_REPORTS = 3


@dataclass(frozen=True)
class Caveat:
    """Something to be warned of.

    Attributes:
        kind: which check has found it.
        text: what was found, and what may be done about it.
        serious: whether it may turn a conclusion over; otherwise it is good to know.
    """

    kind: str
    text: str
    serious: bool = True


def caveats(evidence: Evidence) -> list[Caveat]:
    """All that the checks find, the serious ones first."""
    found = [caveat for check in CHECKS for caveat in check(evidence)]
    return sorted(found, key=lambda caveat: not caveat.serious)


def too_few(evidence: Evidence) -> Iterator[Caveat]:
    """Too few trials with a result to say much."""
    count, params = len(evidence.measured), len(evidence.ordered)
    if params and 0 < count < PER_PARAMETER * params:
        wanted = PER_PARAMETER * params
        yield Caveat(
            "too_few",
            f"{counted(count, 'trial')} with a result for {counted(params, 'parameter')} that vary: below about "
            f"{wanted} it is hard to say which matters. A larger hydra.sweeper.n_trials goes on with the study.",
        )


def at_an_edge(evidence: Evidence) -> Iterator[Caveat]:
    """The top trials crowd at an end of a range: what is best may lie beyond."""
    top = [trial for trial in evidence.top if trial.values]
    if evidence.several or len(top) < 5:
        return
    for axis in evidence.ordered:
        inside = [trial for trial in top if axis.key in trial.params]
        if top[0] not in inside:
            continue
        for low in (True, False):
            if (edge := axis.edge(low)) is None:
                continue
            end, share = edge
            there = [trial for trial in inside if end.holds(trial.params[axis.key])]
            if top[0] in there and _by_chance(len(there), len(inside), share) < CHANCE:
                yield Caveat(
                    "edge",
                    f"{len(there)} of the best {len(inside)} trials, the best one among them, have {axis.name} at the "
                    f"{'lower' if low else 'upper'} end of its range, {end.label}: what is best may lie beyond.",
                )


def too_short(evidence: Evidence) -> Iterator[Caveat]:
    """The top trials were still getting better when they ended."""
    if evidence.several:
        return
    known = [
        (trial, best_step(evidence, trial)) for trial in evidence.top if len(trial.intermediate_values) >= LEAST_REPORTS
    ]
    at_end = [trial for trial, step in known if step is not None and step >= max(trial.intermediate_values)]
    if known and len(at_end) > AT_THE_END * len(known):
        yield Caveat(
            "too_short",
            f"{len(at_end)} of the best {len(known)} trials were at their best at their last report: their training "
            "may be too short, and the order of the trials another one after a longer one.",
        )


def best_step(evidence: Evidence, trial: FrozenTrial) -> float | None:
    """The step at which a trial was at its best: what it says itself, else that of its best report."""
    told = facts(trial).get("best_step")
    if isinstance(told, int | float):
        return float(told)
    reports = {step: value for step, value in trial.intermediate_values.items() if value == value}
    best = evidence.objective.best(reports.values())
    return next((step for step, value in sorted(reports.items()) if value == best), None)


def changed_nothing(evidence: Evidence) -> Iterator[Caveat]:
    """A parameter with which nothing was seen to change."""
    for axis in evidence.axes:
        if not axis.varies:
            yield Caveat("one_value", f"{axis.name} has one value only, so nothing is known of it.", serious=False)
    verdicts = [{each.param: each.matters for each in found.params} for found in evidence.importances]
    idle = [axis.name for axis in evidence.axes if verdicts and all(v.get(axis.key) is False for v in verdicts)]
    if idle:
        yield Caveat(
            "changed_nothing",
            f"Nothing was seen to change with {listed(idle)}: over these ranges that does not matter, or nothing reads "
            "it.",
            serious=False,
        )


def failures(evidence: Evidence) -> Iterator[Caveat]:
    """Many trials failed or diverged, so that parts of the space were not seen."""
    ends = Counter(end_of(trial) for trial in evidence.trials)
    ended = sum(count for end, count in ends.items() if end is not None)
    for end, limit in (("failed", FAILED), ("diverged", DIVERGED)):
        if ended and ends[end] > limit * ended:
            reasons = Counter(_reason(trial) for trial in evidence.trials if end_of(trial) == end)
            commonest = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
            why = f" Most often: {commonest}." if end == "failed" else ""
            yield Caveat(
                end,
                f"{ends[end]} of {ended} trials {end}.{why} Where they are in the space says which part of it was not "
                "seen.",
            )


def told_twice(evidence: Evidence) -> Iterator[Caveat]:
    """Trials that were not run, because their params were known."""
    known = [trial for trial in evidence.trials if REPEAT_OF in trial.user_attrs]
    if known:
        yield Caveat(
            "repeats",
            f"Left out for having the params of an earlier trial, whose value they were told: "
            f"{counted(len(known), 'trial')} of {len(evidence.trials)}. Where there are many, the space is small or "
            "the sampler has settled.",
            serious=False,
        )


def not_comparable(evidence: Evidence) -> Iterator[Caveat]:
    """Trials that were not judged alike."""
    if reason := evidence.attributes.get(NOT_COMPARABLE):
        yield Caveat("not_comparable", f"The values of these trials cannot be compared: {reason}")
    judged = {digest for t in evidence.measured if (digest := facts(t).get("evaluation_digest")) is not None}
    if len(judged) > 1:
        yield Caveat(
            "judged_apart",
            f"The trials were judged on {len(judged)} different evaluation sets: their values cannot be compared.",
        )
    if changes := evidence.attributes.get("changes"):
        lines = [str(change) for each in changes for change in each["changes"]]
        yield Caveat(
            "changed",
            f"The study was gone on with after its configuration had changed ({'; '.join(lines[:5])}"
            f"{'; …' if len(lines) > 5 else ''}): trials before and after may not be comparable.",
        )


def unbeaten(evidence: Evidence) -> Iterator[Caveat]:
    """Something that the study is compared with is better than its best trial."""
    if evidence.several or not evidence.measured:
        return
    best = evidence.measured[0].values[0]
    for each in evidence.beside:
        value = each.values[0]
        if value is not None and not evidence.objective.better(best, value):
            yield Caveat("unbeaten", f"No trial is better than {each.name}, which has {number(value)}.")


def held_still(evidence: Evidence) -> Iterator[Caveat]:
    """What was marked as fixed: whatever is said holds for its values alone."""
    if evidence.roles and evidence.roles.fixed:
        words = f"Held still, so that all this holds for these values alone: {params_line(evidence.roles.fixed)}."
        yield Caveat("held_still", words, serious=False)


def unfinished(evidence: Evidence) -> Iterator[Caveat]:
    """Trials that have not ended yet, and infeasible ones."""
    ended = sum(end_of(trial) is not None for trial in evidence.trials)
    planned = max(int(evidence.attributes.get(N_TRIALS, 0)), len(evidence.trials))
    if ended < planned:
        yield Caveat("unfinished", f"{planned - ended} of {planned} trials have not ended.", serious=False)
    broken = sum(end_of(trial) == "complete" and not is_feasible(trial) for trial in evidence.trials)
    if broken:
        words = f"Left out for breaking a constraint: {counted(broken, 'complete trial')}."
        yield Caveat("infeasible", words, serious=False)


CHECKS: tuple[Callable[[Evidence], Iterator[Caveat]], ...] = (
    not_comparable,
    unbeaten,
    too_few,
    at_an_edge,
    too_short,
    changed_nothing,
    failures,
    told_twice,
    held_still,
    unfinished,
)


def _by_chance(there: int, trials: int, share: float) -> float:
    """The probability that at least so many of these trials are there, if each is with a probability of `share`."""
    return sum(
        math.comb(trials, count) * share**count * (1 - share) ** (trials - count) for count in range(there, trials + 1)
    )


def _reason(trial: FrozenTrial) -> str:
    lines = str(trial.user_attrs.get("reason", "")).splitlines() or ["no reason known"]
    return lines[0][:80]
