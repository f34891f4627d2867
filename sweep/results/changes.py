"""What tells two configurations apart, as changes that can be made one at a time, and what is between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from omegaconf import DictConfig

from sweep.engine.baselines import Frame, below
from sweep.engine.errors import UserError
from sweep.engine.overrides import written
from sweep.engine.recomposed import Configuration, Recomposed

Check = Callable[[DictConfig], None]
"""Raises UserError if a composed configuration cannot be trained."""

_TARGET = "_target_"


@dataclass(frozen=True)
class Content:
    """A configuration, taken apart.

    Attributes:
        choices: the option of each config group that decides which keys there are.
        values: by flat key, interpolations as they are written.
    """

    choices: Mapping[str, str]
    values: Mapping[str, Any]

    @classmethod
    def of(cls, again: Recomposed, configuration: Configuration) -> Content:
        """The content of a configuration of a study, but for what is the same in all that are compared with it."""
        left_out = ("hydra", "experiment", *again.settings.identity_excludes)
        given: Mapping[str, Any] = configuration.config.hydra.runtime.choices
        choices = {
            group: str(option)
            for group, option in given.items()
            if option is not None and not group.startswith("hydra/") and not below(_room(group), left_out)
        }
        return cls(choices, again.content(configuration.config))


@dataclass(frozen=True)
class Change:
    """A change of a configuration.

    Attributes:
        name: what it is, in a few words.
        choices: the groups' options that it sets.
        values: the values that it sets, by key.
        removed: the keys that it takes away.
    """

    name: str
    choices: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()

    def apply(self, content: Content) -> Content:
        """A configuration with this change."""
        values = {key: value for key, value in content.values.items() if key not in self.removed}
        return Content({**content.choices, **self.choices}, {**values, **self.values})


def changes(start: Content, end: Content) -> list[Change]:
    """The changes that make one configuration another.

    Each is that of one key, but for what only makes sense together: the option of a group whose keys are others than
    before, with the keys that only one of both options has; and the keys of a node inside a group.
    """
    found = []
    keys = sorted({*start.values, *end.values})
    taken: set[str] = set()
    for group in sorted({*start.choices, *end.choices}):
        own = [key for key in keys if below(key, (_room(group),))]
        unlike = {key for key in own if (key in start.values) != (key in end.values)}
        unlike |= {key for key in own if key.endswith(_TARGET) and start.values.get(key) != end.values.get(key)}
        if unlike and group in end.choices and start.choices.get(group) != end.choices[group]:
            found.append(_change(start, end, sorted(unlike), group))
            taken |= unlike
    nodes: dict[str, list[str]] = {}
    for key in keys:
        if key not in taken and start.values.get(key, _TARGET) != end.values.get(key, _TARGET):
            parts = key.split(".")
            nodes.setdefault(".".join(parts[:2]), []).append(key)
    return [*found, *(_change(start, end, together) for together in nodes.values())]


def _change(start: Content, end: Content, keys: Sequence[str], group: str | None = None) -> Change:
    values = {key: end.values[key] for key in keys if key in end.values}
    choices = {group: end.choices[group]} if group else {}
    if group:
        name = f"{group}: {start.choices.get(group, 'none')} → {end.choices[group]}"
    else:
        node = keys[0] if len(keys) == 1 else ".".join(keys[0].split(".")[:2])
        name = f"{node}: {_shown(start, keys)} → {_shown(end, keys)}"
    return Change(name, choices, values, frozenset(keys) - set(values))


def _shown(content: Content, keys: Sequence[str]) -> str:
    texts = [written("", content.values[key])[1:].strip("'") if key in content.values else "none" for key in keys]
    return " ".join(texts)


def together(parts: Iterable[Change], name: str | None = None) -> Change:
    """Several changes as one."""
    parts = list(parts)
    choices = {group: option for part in parts for group, option in part.choices.items()}
    values = {key: value for part in parts for key, value in part.values.items()}
    return Change(
        name or " and ".join(part.name for part in parts),
        choices,
        values,
        frozenset(key for part in parts for key in part.removed),
    )


class Between:
    """Configurations between two of a study's.

    Args:
        again: the study.
        end: a configuration of it, whose options are taken where nothing else is said.
        check: says whether a composed configuration can be trained.
    """

    def __init__(self, again: Recomposed, end: Content, check: Check) -> None:
        self._again, self._end, self._check = again, end, check
        self._kept = Frame.of(again.settings, again.config, again.fixed).kept
        self._known: dict[tuple[str, ...], Configuration | UserError] = {}

    def compose(self, name: str, content: Content) -> Configuration:
        """Composes a configuration from its content.

        Raises:
            UserError: if there is no such configuration, or it cannot be trained.
        """
        options = {**self._end.choices, **content.choices}
        known = self._again.config.hydra.runtime.choices
        groups = [f"{'' if group in known else '+'}{group}={option}" for group, option in sorted(options.items())]
        base = self._again.content(self._again.configuration(name, [*self._kept, *groups]).config)
        lines = [
            written(key if key in base else f"++{key}", value)
            for key, value in sorted(content.values.items())
            if key not in base or base[key] != value
        ]
        lines += [f"~{key}" for key in sorted(set(base) - set(content.values))]
        found = self._again.configuration(name, [*self._kept, *groups, *lines])
        if self._again.content(found.config) != dict(content.values):
            raise UserError(name, "values that change as they are composed", "a configuration that can be written down")
        self._check(found.config)
        return found

    def options(
        self, current: Content, remaining: Sequence[Change]
    ) -> tuple[list[tuple[tuple[Change, ...], Configuration]], dict[str, str]]:
        """What can be changed next.

        Returns:
            Each change, with the configuration that it leads to; where changes cannot be made alone, two of them that
            can be made together, and if there is nothing else, all of them together. Then, by name, why a change cannot
            be made now.
        """
        found: list[tuple[tuple[Change, ...], Configuration]] = []
        reasons: dict[str, str] = {}
        stuck = []
        for change in remaining:
            made = self._made(current, (change,))
            if isinstance(made, Configuration):
                found.append(((change,), made))
            else:
                reasons[change.name] = str(made)
                stuck.append(change)
        for pair in combinations(stuck, 2):
            made = self._made(current, pair)
            if isinstance(made, Configuration):
                found.append((pair, made))
        if not found:
            everything = tuple(remaining)
            found.append((everything, self.compose(together(everything).name, _applied(current, everything))))
        return found, reasons

    def _made(self, current: Content, made: tuple[Change, ...]) -> Configuration | UserError:
        content = _applied(current, made)
        key = (repr(sorted(content.choices.items())), repr(sorted(content.values.items(), key=lambda item: item[0])))
        if key not in self._known:
            try:
                self._known[key] = self.compose(together(made).name, content)
            except UserError as error:
                self._known[key] = error
        return self._known[key]


def _applied(content: Content, made: Iterable[Change]) -> Content:
    for change in made:
        content = change.apply(content)
    return content


def _room(group: str) -> str:
    """Where a group's keys are."""
    return (group.partition("@")[2] or group).replace("/", ".")
