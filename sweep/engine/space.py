"""A search space: Hydra's override grammar on one side, Optuna's distributions on the other.

`SearchSpace.parse` reads overrides (of the command line) and `params` (of a YAML file) in Hydra's own grammar, types
them by the configuration fields that they set, and keeps what does not vary as fixed overrides. `SearchSpace.suggest`
asks an Optuna trial for a point and gives it back as overrides that Hydra composes.

Optuna's name of a parameter is its Hydra key. Numbers, booleans, strings and null are stored as they are; every other
choice (a list, a dictionary) is stored as the text of its override, because Optuna only keeps plain values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, IntegerNode, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from sweep.engine.errors import UserError


@dataclass(frozen=True)
class Parameter:
    """One parameter of a search space.

    Attributes:
        key: its Hydra key, without the prefix that adds a key (`+` or `++`).
        prefix: that prefix, or nothing.
        distribution: what Optuna draws from.
        texts: for a choice, the override text of each of its values, in the distribution's order.
        source: how it was written.
    """

    key: str
    prefix: str
    distribution: BaseDistribution
    texts: tuple[str, ...]
    source: str

    def override(self, value: Any) -> str:
        """The override that sets this parameter to a value drawn from its distribution."""
        if isinstance(self.distribution, CategoricalDistribution):
            text = self.texts[int(self.distribution.to_internal_repr(value))]
        else:
            text = str(value)
        return f"{self.prefix}{self.key}={text}"

    def extremes(self) -> list[Any]:
        """The values that show whether the whole parameter is legal: both ends, or every choice."""
        if isinstance(self.distribution, CategoricalDistribution):
            return list(self.distribution.choices)
        bounds = cast("IntDistribution | FloatDistribution", self.distribution)
        return [bounds.low, bounds.high]


@dataclass(frozen=True)
class SearchSpace:
    """What varies in a study (`parameters`, by key) and what was set for all of its trials (`fixed`, overrides)."""

    parameters: Mapping[str, Parameter]
    fixed: tuple[str, ...]

    @classmethod
    def parse(
        cls, arguments: Iterable[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
    ) -> SearchSpace:
        """Reads a search space.

        Args:
            arguments: overrides of the command line; they win over `params`.
            params: override values by key, as in `hydra.sweeper.params`.
            config: the composed configuration, whose fields type what sets them.
            loader: Hydra's, which lists the options of config groups.

        Raises:
            UserError: if an override is no valid search space for its key.
        """
        overrides: dict[str, Override] = {}
        parser = OverridesParser.create(config_loader=loader)
        for line in [*(f"{key}={_text(value)}" for key, value in params.items()), *arguments]:
            try:
                (override,) = parser.parse_overrides([line])
            except HydraException as error:
                raise UserError(
                    _key(line), repr(line.partition("=")[2]), f"Hydra's grammar: {_advice(error)}"
                ) from error
            overrides[override.key_or_group + (f"@{override.package}" if override.package else "")] = override
        parameters: dict[str, Parameter] = {}
        fixed: list[str] = []
        for key, override in overrides.items():
            if override.is_sweep_override():
                parameters[key] = _parameter(key, override, config)
            else:
                fixed.append(override.input_line or "")
        return cls(parameters, tuple(fixed))

    def suggest(self, trial: BaseTrial) -> list[str]:
        """Asks `trial` for a value of every parameter; returns all overrides of the trial, the fixed ones first."""
        return [*self.fixed, *(p.override(_suggest(trial, p)) for p in self.parameters.values())]

    def describe(self) -> dict[str, str]:
        """How each parameter was written, by key."""
        return {key: parameter.source for key, parameter in self.parameters.items()}


def _suggest(trial: BaseTrial, parameter: Parameter) -> Any:
    key, distribution = parameter.key, parameter.distribution
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(key, distribution.choices)
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    distribution = cast(FloatDistribution, distribution)
    return trial.suggest_float(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def _text(value: Any) -> str:
    """YAML's value of a parameter as the text that Hydra's grammar has for it."""
    return value if isinstance(value, str) else str(Override._get_value_element_as_str(value))


def _key(line: str) -> str:
    return line.partition("=")[0].lstrip("+~")


def _advice(error: HydraException) -> str:
    reason = str(error).splitlines()[0]
    if "null" in str(error):
        reason += " (null among choices is written as key=null,1)"
    return reason


def _parameter(key: str, override: Override, config: DictConfig) -> Parameter:
    source = override.get_value_string()
    prefix = "++" if override.is_force_add() else "+" if override.is_add() else ""
    texts: tuple[str, ...] = ()
    distribution: BaseDistribution
    try:
        if override.is_choice_sweep():
            texts = tuple(override.sweep_string_iterator())
            distribution = CategoricalDistribution(_choices(override))
        elif override.is_range_sweep():
            distribution = _range(cast(RangeSweep, override.value()))
        else:
            distribution = _interval(cast(IntervalSweep, override.value()), _is_int(config, key))
    except (ValueError, HydraException, ArithmeticError) as error:
        raise UserError(key, source, f"a search space: {error}") from error
    return Parameter(key, prefix, distribution, texts, source)


def _choices(override: Override) -> list[Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, QuotedString):
            return value.text
        return (
            value
            if value is None or isinstance(value, bool | int | float | str)
            else Override._get_value_element_as_str(value)
        )

    choices = list(override.sweep_iterator(transformer=plain))
    if not choices:
        raise ValueError("there is nothing to choose from")
    return choices


def _range(sweep: RangeSweep) -> BaseDistribution:
    if sweep.step == 0:
        raise ValueError("its step must not be 0")
    log = "log" in sweep.tags
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    count = math.ceil((stop - start) / step)  # the stop is excluded
    if count < 1:
        raise ValueError(f"start must come before stop, got start {sweep.start}, stop {sweep.stop}, step {sweep.step}")
    low, high = sorted((start, start + (count - 1) * step))
    if log and abs(step) != 1:
        raise ValueError("a range in log scale has step 1")
    if all(isinstance(number, int) for number in (sweep.start, sweep.stop, sweep.step)):
        return IntDistribution(int(low), int(high), step=abs(int(step)), log=log)
    if log:
        raise ValueError("a range in log scale is one of integers; for numbers use interval")
    return FloatDistribution(float(low), float(high), step=float(abs(step)))


def _interval(sweep: IntervalSweep, int_field: bool) -> BaseDistribution:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    assert low is not None and high is not None, "Hydra's grammar gives every interval both ends"  # noqa: PT018
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"its ends must be finite, got {low} and {high}")
    if low >= high:
        raise ValueError(f"its low end must be below its high end, got low {low}, high {high}")
    if log and low <= 0:
        raise ValueError(f"an interval in log scale begins above 0, got {low}")
    if int_field and not (float(low).is_integer() and float(high).is_integer()):
        raise ValueError(f"its key takes integers, so its ends must be integers, got {low} and {high}")
    if int_field or (isinstance(low, int) and isinstance(high, int)):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _is_int(config: DictConfig, key: str) -> bool:
    """Whether the configuration types this key as an integer."""
    parent_key, _, name = key.rpartition(".")
    parent = OmegaConf.select(config, parent_key, throw_on_missing=False) if parent_key else config
    return isinstance(parent, DictConfig) and isinstance(parent._get_node(name, validate_access=False), IntegerNode)
