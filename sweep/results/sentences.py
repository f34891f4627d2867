"""The importance of a study's parameters in words: what matters, what does not, what these trials cannot tell."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING

import optuna

from sweep.engine.names import short_names
from sweep.engine.study import is_feasible
from sweep.results.leaderboard import states
from sweep.results.observations import Observations, spread_evenly
from sweep.results.words import counted, listed

if TYPE_CHECKING:
    from sweep.results.importance import Importance, Together


def basis(study: optuna.Study, observed: Observations) -> tuple[str, ...]:
    """Which trials it all rests on, and what is left out."""
    known = counted(len(observed.badness) - observed.diverged, "complete trial")
    if observed.diverged:
        known += f" and {observed.diverged} that diverged, which count as the worst"
    said = [f"This rests on {known}."]
    counts = states(study)
    infeasible = sum(not is_feasible(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    left = {"pruned": counts.get("PRUNED", 0) - observed.diverged, "failed": counts.get("FAIL", 0)}
    left["infeasible"] = infeasible
    if out := listed([f"{count} {what}" for what, count in left.items() if count > 0]):
        said.append(f"Left out, since they have no comparable value: {out}. What made them bad is not seen here.")
    if observed.far_out:
        said.append(f"{counted(observed.far_out, 'value')} far out at the bad end count as less bad than they are.")
    if not spread_evenly(observed.trials):
        said.append(
            "These trials are not spread evenly over the search space. The shares allow for that; PED-ANOVA and fANOVA "
            "do not, and their intervals neither."
        )
    return tuple(said)


def nothing(observed: Observations, fewest: int) -> tuple[str, ...]:
    """Why nothing can be said."""
    if len(observed.badness) < fewest:
        return (f"That is too few to tell what matters: it takes {fewest}.",)
    if not observed.axes:
        return ("No parameter took more than one value, so they cannot tell what matters.",)
    return ("All have the same value, so they cannot tell what matters.",)


def findings(
    params: Sequence[Importance],
    together: Sequence[Together],
    more_than: Sequence[tuple[str, str]],
    rest: tuple[float, float],
    objective: str,
    negligible: float,
    whole: bool,
) -> tuple[str, ...]:
    """What matters, what does not, and what these trials cannot tell.

    Args:
        params: the parameters, the largest share first.
        together: every two of them.
        more_than: of which two it is certain that the first matters more.
        rest: between which shares of the variation belong to no one or two parameters.
        objective: what the objective is called.
        negligible: the share up to which a parameter does not matter.
        whole: whether all of the space was seen, since no trial was pruned.
    """
    name = short_names(known.param for known in params)
    matter = [known.param for known in params if known.matters]
    idle = [known.param for known in params if known.matters is False]
    varied = [known for known in params if known.share_interval]
    said = []
    if matter:
        shares = [f"{name[k.param]} {_share(k.share, k.share_interval)}" for k in varied if k.matters]
        among = "" if whole else " among the trials that were trained to their end"
        said.append(f"What matters{among}, as shares of the variation of {objective}: {listed(shares)}.")
    top = [one for one in matter if sum(first == one for first, _ in more_than) == len(varied) - 1]
    less = {one: [name[other] for first, other in more_than if first == one and other in matter] for one in matter}
    if top and whole:
        said.append(f"{name[top[0]]} matters most.")
        less.pop(top[0])
    if order := [f"{name[one]} matters more than {listed(others)}" for one, others in less.items() if others]:
        said.append(f"{'; '.join(order)}.")
    for two in together:
        if two.matters:
            one, other = (name[param] for param in two.params)
            share = _share(two.share, two.share_interval)
            said.append(f"What {one} does depends on {other}: {share} is what they do together.")
    if idle:
        each = "it accounts" if len(idle) == 1 else "each accounts"
        named = listed([name[param] for param in idle])
        said.append(f"What does not matter in this space: {named}; {each} for less than {negligible:.0%}.")
    unknown = [f"{name[k.param]} ({_range(k.share_interval)})" for k in varied if k.matters is None]
    doubts = [f"whether {listed(unknown)} {'matters' if len(unknown) == 1 else 'matter'}"] if unknown else []
    for tied in _tied(matter, {frozenset(pair) for pair in more_than}):
        names = [name[param] for param in tied]
        either = f"whether {' or '.join(names)} matters more"
        doubts.append(either if len(names) == 2 else f"which of {listed(names)} matters most")
    if doubts:
        said.append(f"What these trials cannot tell: {listed(doubts)}.")
    if constant := [name[known.param] for known in params if not known.share_interval]:
        said.append(f"Nothing can be said of what had one value only: {listed(constant)}.")
    said.append(f"Noise, and what more than two parameters do together: {_range(rest)}.")
    return tuple(said)


def _tied(params: Sequence[str], decided: Container[frozenset[str]]) -> Iterator[list[str]]:
    """Groups of params of which no two are decided, that have every undecided two in them."""
    seen: set[frozenset[str]] = set()
    for pair in itertools.combinations(params, 2):
        if frozenset(pair) in decided or frozenset(pair) in seen:
            continue
        group = list(pair)
        for other in params:
            if other not in group and not any(frozenset((one, other)) in decided for one in group):
                group.append(other)
        seen |= {frozenset(two) for two in itertools.combinations(group, 2)}
        yield sorted(group, key=params.index)


def _share(share: float | None, interval: tuple[float, float] | None) -> str:
    return f"{share:.0%} ({_range(interval)})"


def _range(interval: tuple[float, float] | None) -> str:
    assert interval is not None, "what varied has an interval"
    low, high = (round(100 * end) for end in interval)
    return f"{low} to {high}%"
