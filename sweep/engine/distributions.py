"""Optuna's distributions of Hydra's sweeps, typed by the field that they set.

Numbers, booleans, strings and null are drawn as they are. Every other choice (a list, a dictionary) is drawn as the
text of its override, because Optuna only keeps plain values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, cast

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweep.engine import literals
from sweep.engine.fields import Field, Group
from sweep.engine.parameter import Numbers

LARGEST = 2**53
"""Integers up to here are floats exactly, as which samplers and storages have them."""


def distribution_of(override: Override, field: Field | Group) -> tuple[BaseDistribution, tuple[str, ...]]:
    """What Optuna draws from, and for a choice the override text of each of its values.

    Args:
        override: a sweep, as Hydra parsed it, or one value, which is a choice of one.
        field: what its key takes.

    Raises:
        ValueError: if the override is no search space for this field; says what is.
    """
    if override.is_range_sweep():
        return _taken(_range(cast(RangeSweep, override.value()), field), field), ()
    if override.is_interval_sweep():
        return _taken(_interval(cast(IntervalSweep, override.value()), field), field), ()
    value = override._value
    if isinstance(value, ChoiceSweep):
        return choices(value.list, field)  # in the order that was written: a shuffled one would differ when resumed
    return choices(list(override.sweep_iterator()) if override.is_sweep_override() else [value], field)


def choices(values: Iterable[Any], field: Field | Group) -> tuple[CategoricalDistribution, tuple[str, ...]]:
    """A choice of these values, each once, and the override text of each. Raises ValueError if one is not allowed."""
    found: dict[str, Any] = {}
    seen = set()
    for value in map(literals.plain, values):
        try:
            typed = field.convert(value)
        except ValueError as error:
            raise ValueError(f"{error}, not {literals.text_of(value)}") from error
        text = literals.text_of(typed)
        if text not in seen:
            seen.add(text)
            written = literals.text_of(value) if isinstance(typed, list | dict) else text
            found[written] = _drawn(typed, written, list(found.values()))
    if not found:
        raise ValueError("there is nothing to choose from")
    return CategoricalDistribution(list(found.values())), tuple(found)


def _drawn(value: Any, text: str, others: list[Any]) -> Any:
    """The value itself, unless Optuna cannot keep it, or cannot tell it from another (1 from true): then its text."""
    for drawn in (value, text):
        if (drawn is None or isinstance(drawn, bool | int | float | str)) and drawn not in others:
            return drawn
    raise ValueError(f"{text} cannot be told from another choice")


def _range(sweep: RangeSweep, field: Field | Group) -> Numbers:
    log = "log" in sweep.tags
    _check_numbers(field, sweep.start, sweep.stop, sweep.step)
    if sweep.step == 0:
        raise ValueError("its step must not be 0")
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    count = math.ceil((stop - start) / step)  # the stop is excluded
    if count < 1:
        raise ValueError(f"start must come before stop, got start {sweep.start}, stop {sweep.stop}, step {sweep.step}")
    low, high = sorted((start, start + (count - 1) * step))
    if log and abs(step) != 1:
        raise ValueError("a range in log scale has step 1")
    written_as_integers = all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step))
    if field.takes_integers_only and not (low % 1 == 0 and (step % 1 == 0 or count == 1)):
        raise ValueError(f"its key takes integers, got {sweep.start}, {sweep.stop}, {sweep.step}")
    if field.takes_integers_only or (written_as_integers and (log or not field.takes_floats_only)):
        return _integers(int(low), int(high), max(1, abs(int(step))), log)
    if log:
        raise ValueError("a range in log scale is one of integers; for numbers use interval")
    if count > LARGEST:
        raise ValueError(f"a range of {count:.0e} numbers: use interval")
    return FloatDistribution(float(low), float(high), step=float(abs(step)))


def _interval(sweep: IntervalSweep, field: Field | Group) -> Numbers:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    assert low is not None and high is not None, "Hydra's grammar gives every interval both ends"  # noqa: PT018
    _check_numbers(field, low, high)
    if low >= high:
        raise ValueError(f"its low end must be below its high end, got low {low}, high {high}")
    if log and low <= 0:
        raise ValueError(f"an interval in log scale begins above 0, got {low}")
    if field.takes_integers_only and not (float(low).is_integer() and float(high).is_integer()):
        raise ValueError(f"its key takes integers, so its ends must be integers, got {low} and {high}")
    if field.takes_integers_only or (isinstance(low, int) and isinstance(high, int)):
        return _integers(int(low), int(high), 1, log)
    if not math.isfinite(high - low):
        raise ValueError(f"its ends are too far apart, got low {low}, high {high}")
    return FloatDistribution(float(low), float(high), log=log)


def _integers(low: int, high: int, step: int, log: bool) -> IntDistribution:
    if max(abs(low), abs(high)) > LARGEST:
        raise ValueError(f"integers go from -2**53 to 2**53, got {low} and {high}")
    return IntDistribution(low, high, step=step, log=log)


def _check_numbers(field: Field | Group, *numbers: float | None) -> None:
    """Raises ValueError unless these numbers are finite, and the key is one that may take numbers."""
    for number in numbers:
        if number is None or not math.isfinite(number):
            raise ValueError(f"its numbers must be finite, got {number}")
    if isinstance(field, Group):
        raise ValueError(f"its key is a config group, which takes a choice of {', '.join(field.options())}")


def _taken(drawn: Numbers, field: Field | Group) -> Numbers:
    """The distribution, whose numbers the key takes. Raises ValueError if it does not."""
    for end in (drawn.low, drawn.high):
        held = field.convert(end)
        if isinstance(held, bool) or not isinstance(held, int | float):
            raise ValueError("its key takes no numbers; a choice of what it takes")
    return drawn
