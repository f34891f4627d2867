"""Samplers and pruners out of their configuration."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import logging
import re
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import hydra
from hydra._internal.utils import _locate
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna import pruners, samplers
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from sweep.engine import grid
from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.pruners import PRUNERS
from sweep.engine.samplers import SAMPLERS

if TYPE_CHECKING:
    from sweep.engine.plan import Space

log = logging.getLogger(__name__)

GONE = {"n_ehvi_candidates"}
"""Keys of hydra-optuna-sweeper's samplers that Optuna no longer has: taken, with a warning, and without effect."""

RENAMED = {"optuna.samplers.MOTPESampler": "optuna.samplers.TPESampler"}

PARTS: dict[str, tuple[type, Mapping[str, type]]] = {
    "independent_sampler": (BaseSampler, SAMPLERS),
    "base_sampler": (BaseSampler, SAMPLERS),
    "wrapped_pruner": (BasePruner, PRUNERS),
}
"""Keys of samplers and pruners that hold another one: a node with a `_target_`, or the name of an option."""

NEEDS: dict[type, str] = {samplers.CmaEsSampler: "cmaes", samplers.GPSampler: "torch"}
"""Packages that Optuna imports only when a sampler draws."""

ONE_SEQUENCE = (samplers.QMCSampler, samplers.GridSampler)
"""Samplers that number their points, in an order that depends on the seed."""


class _Once(logging.Filter):
    """Lets a message through once, whichever trial it names: what a sampler finds odd, it says again at every trial."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the message is new."""
        text = re.sub(r"Trial#\d+", "", record.getMessage())
        new = text not in self._said
        self._said.add(text)
        return new


ONCE = _Once()

Complete = Callable[[str, type, dict[str, Any]], None]
"""Fills in what a class's keys leave open; takes where they are written, the class and the keys."""


def sampler(node: Any, seed: int, space: Space | None, study_seed: int) -> BaseSampler:
    """Builds a sampler.

    Args:
        node: its configuration; None is Optuna's default.
        seed: the seed of it, and of every sampler inside it, that has none of its own.
        space: what it draws from; None if nothing is drawn.
        study_seed: the seed of those that have to be the same in all agents, and when a study goes on.

    Raises:
        UserError: if Optuna has no such sampler, its settings do not fit, or it cannot draw from this space.
    """
    if node is None:
        node = {"_target_": "optuna.samplers.TPESampler"}

    def complete(key: str, target: type, keys: dict[str, Any]) -> None:
        if "seed" in inspect.signature(target).parameters and keys.get("seed") is None:
            keys["seed"] = study_seed if issubclass(target, ONE_SEQUENCE) else seed
        if issubclass(target, samplers.TPESampler) and keys.get("group") is None:
            keys["group"] = bool(getattr(space, "conditional", False)) and keys.get("multivariate") is not False
        if issubclass(target, samplers.GridSampler | samplers.BruteForceSampler) and space is not None:
            values = grid.values(target.__name__, f"{key}.search_space", keys.get("search_space") or {}, space)
            if issubclass(target, samplers.GridSampler):
                keys["search_space"] = grid.points(key, values)
        if issubclass(target, samplers.PartialFixedSampler):
            if not keys.get("fixed_params"):
                raise UserError(f"{key}.fixed_params", "nothing", "a mapping from keys of the search space to values")
            if space is not None:
                keys["fixed_params"] = space.read_point(f"{key}.fixed_params", keys["fixed_params"])

    return cast(BaseSampler, _object("hydra.sweeper.sampler", node, BaseSampler, complete))


def pruner(node: Any) -> BasePruner | None:
    """Builds a pruner; None is Optuna's default.

    Raises:
        UserError: if Optuna has no such pruner, or its settings do not fit.
    """
    if node is None:
        return None
    return cast(BasePruner, _object("hydra.sweeper.pruner", node, BasePruner, _check_resources))


def _check_resources(key: str, target: type, keys: dict[str, Any]) -> None:
    """Refuses what Hyperband itself would only stumble over once the first trial reports."""
    if not issubclass(target, pruners.HyperbandPruner):
        return
    own = inspect.signature(target).parameters
    least, most, factor = (
        keys.get(name, own[name].default) for name in ("min_resource", "max_resource", "reduction_factor")
    )
    _quietly(key, lambda: pruners.SuccessiveHalvingPruner(int(least), factor))
    if isinstance(most, int) and most < least:
        raise UserError(f"{key}.max_resource", str(most), f"at least min_resource, which is {least}, or auto")


def _object(key: str, node: Any, base: type, complete: Complete) -> Any:
    """Builds a sampler or a pruner, those inside it first."""
    keys = _keys(key, node)
    target = _class(key, keys.pop("_target_"), base)
    for name, value in keys.items():
        if name in PARTS and value is not None:
            part_base, options = PARTS[name]
            if isinstance(value, str):
                if value not in options:
                    raise UserError(f"{key}.{name}", repr(value), nearest(value, options))
                value = OmegaConf.structured(options[value])
            keys[name] = _object(f"{key}.{name}", value, part_base, complete)
        elif isinstance(value, Mapping) and "_target_" in value:
            keys[name] = _quietly(key, lambda value=value: hydra.utils.instantiate(value, _convert_="all"))  # type: ignore[misc]
    complete(key, target, keys)
    parameters = inspect.signature(target).parameters.values()
    known = [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    for name in keys:
        if name not in known and not any(one.kind == one.VAR_KEYWORD for one in parameters):
            raise UserError(f"{key}.{name}", "a key that does not exist", nearest(name, known))
    if target.__module__.startswith("optuna."):
        logging.getLogger(target.__module__).addFilter(ONCE)
    return _quietly(key, lambda: target(**keys))


def _keys(key: str, node: Any) -> dict[str, Any]:
    """A node's keys and plain values, which may be changed."""
    try:
        plain = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    except OmegaConfBaseException as error:
        raise UserError(key, "a value that cannot be resolved", f"one that can ({_first_line(error)})") from error
    if not isinstance(plain, Mapping) or "_target_" not in plain:
        raise UserError(key, repr(plain), "an option of Hydra's group of that name, or a node with a _target_")
    hydras = {"_partial_", "_recursive_", "_convert_"}  # which change nothing here
    keys = {str(name): value for name, value in plain.items() if name not in hydras}
    if keys["_target_"] in RENAMED:
        _say_once(f"{key}: {keys['_target_']} is {RENAMED[keys['_target_']]} now")
        keys["_target_"] = RENAMED[keys["_target_"]]
    for name in GONE & set(keys):
        if keys.pop(name) is not None:
            _say_once(f"{key}.{name}: Optuna no longer has this key; it is without effect")
    return keys


def _class(key: str, path: Any, base: type) -> type:
    try:
        target: Any = _locate(path)
    except Exception as error:  # whatever importing it raises
        raise UserError(
            f"{key}._target_", repr(path), f"a class that can be imported, such as optuna.{_room(base)}.*"
        ) from error
    if not (isinstance(target, type) and issubclass(target, base)):
        raise UserError(f"{key}._target_", repr(path), f"a subclass of Optuna's {base.__name__}")
    for needy, package in NEEDS.items():
        if issubclass(target, needy) and importlib.util.find_spec(package) is None:
            install = "sweep[gp]" if package == "torch" else package
            received = f"{target.__name__}, whose package {package} is not installed"
            raise UserError(key, received, f"another sampler, or this one after: pip install '{install}'")
    return target


def _room(base: type) -> str:
    return "samplers" if base is BaseSampler else "pruners"


def _quietly(key: str, build: Callable[[], Any]) -> Any:
    """Builds an object; says in one line what Optuna has deprecated, and nothing of what it calls experimental."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            built = build()
    except (HydraException, ValueError, TypeError, ImportError) as error:
        raise UserError(
            key, f"settings that do not fit ({_first_line(error.__cause__ or error)})", "Optuna's"
        ) from error
    said = [str(warning.message) for warning in caught if not issubclass(warning.category, ExperimentalWarning)]
    deprecated = [found[1] for text in said if (found := re.match(r"`(\w+)` has been deprecated", text))]
    if deprecated:
        _say_once(f"{key}: Optuna has deprecated {', '.join(deprecated)}")
    for text in said:
        if not re.match(r"`(\w+)` has been deprecated", text):
            _say_once(f"{key}: {text}")
    return built


@functools.cache
def _say_once(text: str) -> None:
    log.warning("%s", text)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
