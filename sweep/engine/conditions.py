"""Conditions of a search space (`hydra.sweeper.when`): a parameter exists only when another key has some value.

```yaml
when:
  model.skip: {model: gated}
  optimizer.momentum: {optimizer: [sgd, rmsprop]}
```

The other key may be a parameter, itself with or without a condition, or a key or group whose value is fixed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.fields import Fields
from sweep.engine.parameter import Parameter

NAME = "hydra.sweeper.when"


def read(when: Mapping[str, Any]) -> dict[str, dict[str, list[Any]]]:
    """The conditions as they are written: for each key the values that other keys must have.

    Raises:
        UserError: if they are no mapping from keys to mappings from keys to values.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for key, needs in when.items():
        if not isinstance(needs, Mapping) or not needs:
            raise UserError(f"{NAME}.{key}", repr(needs), "a mapping from other keys to a value or a list of values")
        found[str(key)] = {str(other): given if isinstance(given, list) else [given] for other, given in needs.items()}
    return found


def alternatives(needs: Mapping[str, list[Any]], groups: Mapping[str, Parameter]) -> Iterator[tuple[str, ...]]:
    """Overrides of the groups that vary with which a key of these needs may exist."""
    named = {key: group for key, group in groups.items() if key in needs}
    for key, group in named.items():
        allowed = list(map(str, needs[key]))
        named[key] = dataclasses.replace(group, texts=tuple(text for text in group.texts if text in allowed))
    if named:
        lines = [[f"{group.prefix}{key}={text}" for text in group.texts] for key, group in named.items()]
        yield from itertools.product(*lines)
    else:
        for key, group in groups.items():
            yield from ((f"{group.prefix}{key}={text}",) for text in group.texts)


def apply(
    conditions: Mapping[str, Mapping[str, list[Any]]], parameters: Mapping[str, Parameter], fields: Fields
) -> dict[str, Parameter]:
    """The parameters with their conditions, each after those it depends on, without those that can never exist.

    Raises:
        UserError: for a circle, a key that is not there, or a value that a key can never have.
    """
    left = dict(parameters)
    never = set()
    for key, needs in conditions.items():
        if key not in parameters:
            raise UserError(f"{NAME}.{key}", "a key that is no parameter", nearest(key, parameters))
        when = {}
        for other, given in needs.items():
            name = f"{NAME}.{key}.{other}"
            if other in parameters:
                when[other] = _of(name, parameters[other], given, fields)
            elif not _is(name, other, given, fields):
                never.add(key)
        left[key] = dataclasses.replace(parameters[key], when=when)
    ordered: dict[str, Parameter] = {}
    while left:
        ready = next((key for key, parameter in left.items() if not left.keys() & parameter.when.keys()), None)
        if ready is None:
            raise UserError(NAME, f"a circle of {', '.join(left)}", "conditions that begin somewhere")
        parameter = left.pop(ready)
        if ready not in never and parameter.when.keys() <= ordered.keys():
            ordered[ready] = parameter
    return ordered


def _of(name: str, parameter: Parameter, given: list[Any], fields: Fields) -> tuple[Any, ...]:
    """Values of a parameter; those that its key takes, but not in this study, are left out unless none is left."""
    found = []
    for value in given:
        _read(name, value, fields.of(parameter.key).convert)
        with contextlib.suppress(ValueError):
            found.append(parameter.read(value))
    return tuple(found) or (_read(name, given[0] if len(given) == 1 else given, parameter.read),)


def _is(name: str, key: str, given: list[Any], fields: Fields) -> bool:
    """Whether a key that does not vary has one of these values."""
    if not fields.has(key):
        raise UserError(name, "a key that does not exist", nearest(key, fields.keys()))
    allowed = [_read(name, value, fields.of(key).convert) for value in given]
    return fields.value(key) in allowed


def _read(name: str, value: Any, read: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise UserError(name, repr(value), str(error)) from error
