"""A search space in Python (`hydra.sweeper.custom_search_space`), as `hydra-optuna-sweeper` has it.

A function `(config, trial)` is called once for each trial, after the params that are written in Hydra's grammar were
suggested: with the composed configuration of the study, and with the trial, of which it may suggest further params.
Their names are the keys that they set; a name may begin with `+`, as overrides may.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig
from optuna.trial import BaseTrial

from sweep.engine import literals
from sweep.engine.errors import UserError

NAME = "hydra.sweeper.custom_search_space"


@dataclass(frozen=True)
class CustomSpace:
    """The function, by its dotted path, and the configuration that it is given."""

    path: str
    config: DictConfig

    def check(self) -> None:
        """Raises UserError if there is no such function."""
        try:
            get_method(self.path)
        except Exception as error:  # whatever importing its module raises
            reason = str(error.__cause__ or error).splitlines() or [type(error).__name__]
            allowed = f"the dotted path of a function (config, trial) ({reason[0]})"
            raise UserError(NAME, repr(self.path), allowed) from error

    def suggest(self, trial: BaseTrial, taken: Collection[str]) -> list[str]:
        """Lets the function suggest params, and returns their overrides.

        Args:
            trial: the trial, which has the params of the rest of the search space.
            taken: keys that the function may not suggest.

        Raises:
            UserError: if the function raises, or suggests what it may not.
        """
        before = set(trial.params)
        try:
            get_method(self.path)(self.config, trial)
        except Exception as error:
            received = f"{self.path!r}, which raised {type(error).__name__}: {error}"
            raise UserError(NAME, received, "a function that takes every point of the search space") from error
        further = {name: value for name, value in trial.params.items() if name not in before}
        for name in further:
            if name.lstrip("+") in taken:
                raise UserError(NAME, f"{self.path!r}, which suggests {name}", "keys that are set nowhere else")
        return [f"{name}={_text(value)}" for name, value in further.items()]


def _text(value: Any) -> str:
    """A param as an override's text. A string is that text already, so that it may be a list or a dictionary."""
    if isinstance(value, str) and literals.read(value) != value:
        return value
    return literals.text_of(value)
