"""A search space: Hydra's override grammar on one side, Optuna's distributions on the other.

`SearchSpace.read` reads overrides (of the command line) and what `hydra.sweeper` says in Hydra's own grammar, types
them by the configuration fields that they set, and keeps what does not vary as fixed overrides. `SearchSpace.suggest`
asks an Optuna trial for a point and gives it back as overrides that Hydra composes.

Optuna's name of a parameter is its Hydra key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution
from optuna.trial import BaseTrial

from sweep.engine import conditions, distributions, legacy_space, literals, overrides
from sweep.engine.constraints import Constraint
from sweep.engine.corners import TRIES, Ends, corners
from sweep.engine.custom_space import CustomSpace
from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.fields import Fields
from sweep.engine.parameter import Parameter, without_dust

KEYS: Mapping[str, type] = {"params": dict, "search_space": dict, "when": dict, "constraints": list}
"""Keys of `hydra.sweeper` that are read here, apart from the function."""


@dataclass(frozen=True)
class SearchSpace:
    """What varies in a study, and what was set for all of its trials.

    Attributes:
        parameters: what varies, by key, each after those it depends on.
        fixed: the overrides that all trials have.
        constraints: what every point fulfils.
        custom: the function that suggests further params, if there is one.
        written: how all of it was written.
    """

    parameters: Mapping[str, Parameter]
    fixed: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    custom: CustomSpace | None
    written: Mapping[str, str]

    @classmethod
    def read(
        cls,
        arguments: Iterable[str],
        settings: Mapping[str, Any] | DictConfig,
        config: DictConfig,
        loader: ConfigLoader,
    ) -> SearchSpace:
        """Reads a search space.

        Args:
            arguments: overrides of the command line; they win over those of the settings.
            settings: `hydra.sweeper`, of which it takes `params`, `search_space`, `custom_search_space`, `when` and
                `constraints`, as far as they are there.
            config: the composed configuration, whose fields type what sets them.
            loader: Hydra's, which lists the options of config groups.

        Raises:
            UserError: if any of it is no search space for this configuration.
        """
        given = {key: _plain(settings, key, kind) for key, kind in KEYS.items()}
        written = conditions.read(given["when"])
        if given["search_space"]:
            legacy_space.warn()
        legacy: dict[str, Any] = {} if given["params"] else given["search_space"]
        lines = [f"{key}={literals.as_written(value)}" for key, value in given["params"].items()]
        first = overrides.parse([f"{key}=null" for key in legacy], loader)
        later = overrides.parse([*lines, *arguments], loader)
        old = {key: legacy[str(one.input_line).removesuffix("=null")] for key, one in first.items() if key not in later}
        varying, fixed = {}, []
        for key, one in {**first, **later}.items():
            if one.is_sweep_override() or key in old or (key in written and not one.is_delete()):
                varying[key] = one
            else:
                fixed.append(str(one.input_line))
        fields = Fields(config, loader, fixed)
        groups = {key: _parameter(key, one, old, fields, ()) for key, one in varying.items() if fields.is_group(key)}
        parameters = {
            key: groups.get(key)
            or _parameter(key, one, old, fields, conditions.alternatives(written.get(key, {}), groups))
            for key, one in varying.items()
        }
        constraints = tuple(
            Constraint.read(f"hydra.sweeper.constraints[{index}]", text, parameters, groups, fields)
            for index, text in enumerate(given["constraints"])
        )
        path = settings.get("custom_search_space")
        custom = CustomSpace(path, config) if path else None
        if custom:
            custom.check()
        described = {key: parameter.source for key, parameter in parameters.items()}
        described |= {f"when/{key}": str(needs) for key, needs in written.items()}
        described |= {f"constraint/{index}": one.text for index, one in enumerate(constraints)}
        described |= {"custom_search_space": custom.path} if custom else {}
        return cls(conditions.apply(written, parameters, fields), tuple(fixed), constraints, custom, described)

    @property
    def conditional(self) -> bool:
        """Whether trials may have different params."""
        return self.custom is not None or any(parameter.when for parameter in self.parameters.values())

    def suggest(self, trial: BaseTrial) -> list[str]:
        """Asks `trial` for a value of every parameter; returns all overrides of the trial, the fixed ones first."""
        point: dict[str, Any] = {}
        for key, parameter in self.parameters.items():
            if parameter.exists(point):
                point[key] = parameter.suggest(trial)
        lines = [*self.fixed, *self._overrides(point)]
        if self.custom is not None:
            taken = {*self.parameters, *(line.lstrip("+~").partition("=")[0] for line in self.fixed)}
            lines += self.custom.suggest(trial, taken)
        return lines

    def violated(self, params: Mapping[str, Any]) -> str | None:
        """The first constraint that these params break, with the reason if it could not be evaluated."""
        exact = {
            key: without_dust(self.parameters[key].distribution, value) if key in self.parameters else value
            for key, value in params.items()
        }
        return next((broken for one in self.constraints if (broken := one.broken(exact)) is not None), None)

    def points(self) -> Iterator[list[str]]:
        """Overrides of points that together touch every choice and both ends of every interval.

        A function in Python is asked at each of them, and at two at least, so that what it suggests is seen to vary.

        Raises:
            UserError: if no point is found that fulfils the constraints, or the function in Python fails.
        """
        found: list[Mapping[str, Any]] = []
        for point in corners(self.parameters, self.violated):
            found.append(point)
            yield self._at(point, len(found))
        if self.custom is not None and len(found) == 1:
            yield self._at(found[0], 2)
        if not found and self.constraints:
            texts = ", ".join(one.text for one in self.constraints)
            raise UserError("hydra.sweeper.constraints", texts, f"what a point in {TRIES} of the search space fulfils")

    def read_point(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """A point as the user wrote it, or a part of one, as values of the distributions.

        Args:
            name: the key under which it was written.
            given: by key a value, or its text in an override.

        Raises:
            UserError: for an unknown key, a value outside of its distribution, a parameter that does not exist beside
                the others of the point.
        """
        point: dict[str, Any] = {}
        for key in [key for key in given if key not in self.parameters]:
            if self.custom is None:  # which may have further params
                raise UserError(f"{name}.{key}", "a key that is no parameter", nearest(key, self.parameters))
            point[key] = given[key]
        for key, parameter in self.parameters.items():
            if key not in given:
                continue
            try:
                point[key] = parameter.read(given[key])
            except ValueError as error:
                raise UserError(f"{name}.{key}", repr(given[key]), str(error)) from error
            for other, values in parameter.when.items():
                if other in point and point[other] not in values:
                    allowed = f"a point where {other} is one of {', '.join(map(str, values))}"
                    raise UserError(f"{name}.{key}", f"{given[key]!r} with {other}={point[other]}", allowed)
        return point

    def describe(self) -> dict[str, str]:
        """How each parameter, condition, constraint and function was written, by key."""
        return dict(self.written)

    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna draws from, by key."""
        return {key: parameter.distribution for key, parameter in self.parameters.items()}

    def _at(self, point: Mapping[str, Any], turn: int) -> list[str]:
        """All overrides at a point; what a function suggests beyond it is at its ends, in turn."""
        if self.custom is None:
            return [*self.fixed, *self._overrides(point)]
        return self.suggest(_trial_at(point, turn))

    def _overrides(self, point: Mapping[str, Any]) -> list[str]:
        return [self.parameters[key].override(value) for key, value in point.items()]


def _plain(settings: Mapping[str, Any] | DictConfig, key: str, kind: type) -> Any:
    """A part of the settings as a plain dictionary or list, which is empty if there is none."""
    name, given = f"hydra.sweeper.{key}", settings.get(key)
    try:
        plain = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given
    except OmegaConfBaseException as error:
        raise UserError(name, "a value that cannot be resolved", str(error).splitlines()[0]) from error
    if not plain:
        return kind()
    if not isinstance(plain, kind):
        raise UserError(name, repr(plain), "a list" if kind is list else "a mapping from keys")
    return plain


def _parameter(
    key: str, override: Override, legacy: Mapping[str, Any], fields: Fields, alternatives: Iterable[tuple[str, ...]]
) -> Parameter:
    prefix = "++" if override.is_force_add() else "+" if override.is_add() else ""
    field = fields.of(key, alternatives, adds=bool(prefix))
    if key in legacy:
        drawn, texts = legacy_space.distribution_of(key, legacy[key], field)
        return Parameter(key, prefix, drawn, texts, str(legacy[key]), {})
    source = override.get_value_string()
    try:
        drawn, texts = distributions.distribution_of(override, field)
    except Exception as error:
        raise UserError(key, source, f"a search space: {error}") from error
    return Parameter(key, prefix, drawn, texts, source, {})


def _trial_at(point: Mapping[str, Any], turn: int) -> optuna.Trial:
    """A trial of no study, with these params, which is suggested the ends of all others, in turn."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=Ends(turn))
    finally:
        optuna.logging.set_verbosity(verbosity)
    study.enqueue_trial(dict(point))
    return study.ask()
