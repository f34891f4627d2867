"""The importance of a study's parameters in words: what matters, what does not, what these trials cannot tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import optuna

from sweep.engine.names import short_names
from sweep.engine.study import is_feasible
from sweep.results.leaderboard import states
from sweep.results.observations import Observations

if TYPE_CHECKING:
    from sweep.results.importance import Importance, Together


def basis(study: optuna.Study, observed: Observations) -> tuple[str, ...]:
    """Which trials it all rests on, and what is left out."""
    known = _count(len(observed.badness) - observed.diverged, "complete trial")
    if observed.diverged:
        known += f" and {observed.diverged} that diverged, which count as the worst"
    said = [f"This rests on {known}."]
    counts = states(study)
    infeasible = sum(not is_feasible(trial) for trial in study.get_trials(deepcopy=False) if trial.state.is_finished())
    left = {"pruned": counts.get("PRUNED", 0) - observed.diverged, "failed": counts.get("FAIL", 0)}
    left["infeasible"] = infeasible
    if out := _list([f"{count} {what}" for what, count in left.items() if count > 0]):
        said.append(f"Left out, since they have no comparable value: {out}. What made them bad is not seen here.")
    if observed.far_out:
        said.append(f"{_count(observed.far_out, 'value')} far out at the bad end count as less bad than they are.")
    if not spread_evenly(observed):
        said.append(
            "The trials are not spread evenly over the search space, as their sampler searched. The shares allow for "
            "that; PED-ANOVA and fANOVA do not, and their intervals neither."
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
) -> tuple[str, ...]:
    """What matters, what does not, and what these trials cannot tell.

    Args:
        params: the parameters, the largest share first.
        together: every two of them.
        more_than: of which two it is certain that the first matters more.
        rest: between which shares of the variation belong to no one or two parameters.
        objective: what the objective is called.
        negligible: the share up to which a parameter does not matter.
    """
    name = short_names(known.param for known in params)
    matter = [known.param for known in params if known.matters]
    idle = [known.param for known in params if known.matters is False]
    varied = [known for known in params if known.share_interval]
    said = []
    if matter:
        shares = [f"{name[k.param]} {_share(k.share, k.share_interval)}" for k in varied if k.matters]
        said.append(f"What matters, as shares of the variation of {objective}: {_list(shares)}.")
    top = [one for one in matter if sum(first == one for first, _ in more_than) == len(varied) - 1]
    less = {one: [name[other] for first, other in more_than if first == one and other in matter] for one in matter}
    if top:
        said.append(f"{name[top[0]]} matters most.")
        less.pop(top[0])
    if order := [f"{name[one]} matters more than {_list(others)}" for one, others in less.items() if others]:
        said.append(f"{'; '.join(order)}.")
    for two in together:
        if two.matters:
            one, other = (name[param] for param in two.params)
            share = _share(two.share, two.share_interval)
            said.append(f"What {one} should be depends on {other}: {share} is what they do together.")
    if idle:
        each = "it accounts" if len(idle) == 1 else "each accounts"
        named = _list([name[param] for param in idle])
        said.append(f"What does not matter in this space: {named}; {each} for less than {negligible:.0%}.")
    unknown = [f"{name[k.param]} ({_range(k.share_interval)})" for k in varied if k.matters is None]
    doubts = [f"whether {_list(unknown)} {'matters' if len(unknown) == 1 else 'matter'}"] if unknown else []
    decided = {frozenset(pair) for pair in more_than}
    ties = [pair for pair in itertools.combinations(matter, 2) if frozenset(pair) not in decided]
    doubts += [f"whether {name[one]} or {name[other]} matters more" for one, other in ties]
    if doubts:
        said.append(f"What these trials cannot tell: {_list(doubts)}.")
    if constant := [name[known.param] for known in params if not known.share_interval]:
        said.append(f"Nothing can be said of what had one value only: {_list(constant)}.")
    said.append(f"Noise, and what more than two parameters do together: {_range(rest)}.")
    return tuple(said)


def spread_evenly(observed: Observations) -> bool:
    """Whether the trials may have been drawn evenly: Kolmogorov's test on each axis, which errs once in a thousand."""
    for places in observed.points.T:
        known = np.sort(places[~np.isnan(places)])
        count = len(known)
        largest_tie = np.unique(known, return_counts=True)[1].max() / count  # a grid's steps are no unevenness
        above = np.arange(1, count + 1) / count - known
        distance = max(above.max(), (1 / count - above).max())
        if distance > 1.95 / np.sqrt(count) + largest_tie:
            return False
    return True


def _share(share: float | None, interval: tuple[float, float] | None) -> str:
    return f"{share:.0%} ({_range(interval)})"


def _range(interval: tuple[float, float] | None) -> str:
    assert interval is not None, "what varied has an interval"
    low, high = (round(100 * end) for end in interval)
    return f"{low} to {high}%"


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _list(words: Iterable[str]) -> str:
    words = list(words)
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
