"""What tells two configurations apart, as changes that can be made one at a time, and what is between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from omegaconf import DictConfig

from sweep.engine.baselines import Frame, below
from sweep.engine.errors import UserError
from sweep.engine.names import short_names
from sweep.engine.overrides import written
from sweep.engine.recomposed import Configuration, Recomposed
from sweep.results.leaderboard import number

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


def changes(start: Content, end: Content, rooms: Iterable[str] = ()) -> list[Change]:
    """The changes that make one configuration another.

    Each is that of one key, but for what only makes sense together: the option of a group whose keys are others than
    before, with the keys that only one of both options has; and the keys of a room.

    Args:
        start: the one.
        end: the other.
        rooms: groups, or nodes in them, whose keys are changed together.
    """
    keys = sorted(key for key in {*start.values, *end.values} if not _same(start, end, key))
    options = {group: option for group, option in end.choices.items() if start.choices.get(group) != option}
    found, taken = [], set()
    for group, option in sorted(options.items()):
        own = [key for key in keys if below(key, (_room(group),))]
        unlike = [key for key in own if key.endswith(_TARGET) or (key in start.values) != (key in end.values)]
        own = own if _room(group) in rooms else unlike
        if own:
            name = f"{group}: {start.choices.get(group, 'none')} → {option}"
            found.append(Change(name, {group: option} if unlike else {}, *_difference(start, end, own)))
            taken |= set(own)
    nodes: dict[str, list[str]] = {}
    for key in keys:
        if key not in taken:
            nodes.setdefault(next((room for room in rooms if below(key, (room,))), key), []).append(key)
    for node, name in short_names(nodes).items():
        own = nodes[node]
        found.append(Change(f"{name}: {_shown(start, own)} → {_shown(end, own)}", {}, *_difference(start, end, own)))
    return found


def _same(start: Content, end: Content, key: str) -> bool:
    return (key in start.values, start.values.get(key)) == (key in end.values, end.values.get(key))


def _difference(start: Content, end: Content, keys: Sequence[str]) -> tuple[dict[str, Any], frozenset[str]]:
    """What is set, and what is taken away."""
    values = {key: end.values[key] for key in keys if key in end.values}
    return values, frozenset(key for key in keys if key in start.values and key not in values)


def _shown(content: Content, keys: Sequence[str]) -> str:
    return " ".join(_text(content.values[key]) if key in content.values else "none" for key in keys)


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    return number(value, 3)


def combined(parts: Iterable[Change], name: str | None = None) -> Change:
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
        self._known: dict[tuple[str, str], Configuration | UserError] = {}
        self._bases: dict[tuple[str, ...], dict[str, Any]] = {}

    def compose(self, name: str, content: Content) -> Configuration:
        """Composes a configuration from its content, once: the way is looked at every second.

        Raises:
            UserError: if there is no such configuration, or it cannot be trained.
        """
        key = repr(sorted(content.choices.items())), repr(sorted(content.values.items()))
        if key not in self._known:
            try:
                self._known[key] = self._composed(name, content)
            except UserError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, UserError):
            raise found
        return found

    def _composed(self, name: str, content: Content) -> Configuration:
        options = {**self._end.choices, **content.choices}
        known = self._again.config.hydra.runtime.choices
        groups = tuple(f"{'' if group in known else '+'}{group}={option}" for group, option in sorted(options.items()))
        if groups not in self._bases:
            self._bases[groups] = self._again.content(self._again.configuration(name, [*self._kept, *groups]).config)
        base = self._bases[groups]
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
            found.append((everything, self.compose(combined(everything).name, _applied(current, everything))))
        return found, reasons

    def _made(self, current: Content, made: tuple[Change, ...]) -> Configuration | UserError:
        try:
            return self.compose(combined(made).name, _applied(current, made))
        except UserError as error:
            return error


def _applied(content: Content, made: Iterable[Change]) -> Content:
    for change in made:
        content = change.apply(content)
    return content


def _room(group: str) -> str:
    """Where a group's keys are."""
    return (group.partition("@")[2] or group).replace("/", ".")
