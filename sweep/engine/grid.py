"""Every value of a search space, for the samplers that try them all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.engine.errors import UserError
from sweep.engine.plan import Space

MAX_POINTS = 10**6
"""How many points a grid may have: all of them are kept in memory."""


def values(sampler: str, name: str, given: Any, space: Space) -> dict[str, Sequence[Any]]:
    """The values of every parameter of a space.

    Args:
        sampler: what the sampler is called, for the error.
        name: the key under which the user wrote values of their own.
        given: these, by parameter; without them a parameter has all the values of its distribution.
        space: the search space.

    Raises:
        UserError: if a parameter has no end of values, or one given is none of the space's.
    """
    if not isinstance(given, Mapping):
        raise UserError(name, repr(given), "a mapping from keys of the search space to lists of values")
    own: dict[str, list[Any]] = {}
    for key, chosen in given.items():
        if not isinstance(chosen, list) or not chosen:
            raise UserError(f"{name}.{key}", repr(chosen), "a list of values")
        own[key] = [space.read_point(name, {key: value})[key] for value in chosen]
    return {key: own.get(key) or _values(sampler, key, one) for key, one in space.distributions().items()}


def points(name: str, by_parameter: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The values as lists. Raises UserError, with this name, if the grid that they span is larger than memory takes."""
    count = math.prod(map(len, by_parameter.values()))
    if count > MAX_POINTS:
        raise UserError(name, f"a grid of {count:,} points", f"one of at most {MAX_POINTS:,}")
    return {key: list(one) for key, one in by_parameter.items()}


def _values(sampler: str, key: str, distribution: BaseDistribution) -> Sequence[Any]:
    """Every value of a distribution; of integers as a range, which takes no memory until it is read."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return range(distribution.low, distribution.high + 1, distribution.step)
    assert isinstance(distribution, FloatDistribution)
    if distribution.step is None:
        allowed = f"a choice or a range: {sampler} tries every value there is"
        raise UserError(key, f"an interval from {distribution.low:g} to {distribution.high:g}", allowed)
    low, high, step = (Decimal(str(number)) for number in (distribution.low, distribution.high, distribution.step))
    return [float(low + index * step) for index in range(int((high - low) / step) + 1)]
