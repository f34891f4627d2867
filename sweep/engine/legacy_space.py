"""The search space as `hydra-optuna-sweeper` 1.1 had it (`hydra.sweeper.search_space`): distributions, key by key.

Unlike `range`, its numbers go up to `high` and with it.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from sweep.engine.distributions import choices
from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.fields import Field, Group

NAME = "hydra.sweeper.search_space"
KEYS = ("type", "choices", "low", "high", "step", "log")
TYPES = ("int", "float", "categorical")

log = logging.getLogger(__name__)


@functools.cache
def warn() -> None:
    """Says once that it is deprecated."""
    log.warning("%s is deprecated; hydra.sweeper.params has the search space in Hydra's override grammar", NAME)


def distribution_of(key: str, given: Any, field: Field | Group) -> tuple[BaseDistribution, tuple[str, ...]]:
    """What Optuna draws from, and for a choice the override text of each of its values.

    Raises:
        UserError: if this is no distribution, or none for this field.
    """
    name = f"{NAME}.{key}"
    if not isinstance(given, Mapping):
        raise UserError(name, repr(given), f"a mapping with the keys {', '.join(KEYS)}")
    for other in given:
        if other not in KEYS:
            raise UserError(f"{name}.{other}", "a key that does not exist", nearest(str(other), KEYS))
    kind = getattr(given.get("type"), "name", given.get("type"))
    if kind not in TYPES:
        raise UserError(f"{name}.type", repr(kind), f"one of {', '.join(TYPES)}")
    try:
        if kind == "categorical":
            if not isinstance(given.get("choices"), list):
                raise UserError(f"{name}.choices", repr(given.get("choices")), "a list")
            return choices(given["choices"], field)
        low, high, step, scale = given["low"], given["high"], given.get("step"), bool(given.get("log"))
        if kind == "int":
            return IntDistribution(int(low), int(high), step=int(step or 1), log=scale), ()
        return FloatDistribution(float(low), float(high), step=None if step is None else float(step), log=scale), ()
    except KeyError as error:
        raise UserError(name, repr(given), "a distribution with low and high") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(name, repr(given), f"a distribution that Optuna knows ({error})") from error
