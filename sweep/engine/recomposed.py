"""A study's own command, composed once more: what is run beside a study later is run as its trials were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.trial import FrozenTrial

from sweep.engine.baselines import Frame, below
from sweep.engine.compose import compose
from sweep.engine.errors import UserError
from sweep.engine.explain import explain
from sweep.engine.identity import differences, fixed_part

if TYPE_CHECKING:
    from sweep.engine.sweeper import StudySweeper


@dataclass(frozen=True)
class Configuration:
    """A configuration that may be trained with any seed.

    Attributes:
        name: what people call it.
        overrides: what composes it.
        config: what they compose.
        identity: the same for the same content, however it is written.
    """

    name: str
    overrides: tuple[str, ...]
    config: DictConfig
    identity: str

    def with_seed(self, seed: int) -> dict[str, Any]:
        """A trial of it, as `sweep.engine.study.CONFIGURATION` has it."""
        return {"name": self.name, "overrides": list(self.overrides), "seed": seed, "identity": self.identity}


@dataclass(frozen=True)
class Recomposed:
    """A study, with what its trials are composed by.

    Attributes:
        study: the study.
        home: its folder.
        config: its command, composed once more.
        settings: `hydra.sweeper` of that, with the study's own storage, seed and tracking.
        fixed: the overrides that all of its trials have.
        loader: Hydra's.
        sweeper: what runs studies beside it.
    """

    study: optuna.Study
    home: Path
    config: DictConfig
    settings: DictConfig
    fixed: tuple[str, ...]
    loader: ConfigLoader
    sweeper: StudySweeper

    def configuration(self, name: str, overrides: Sequence[str]) -> Configuration:
        """Composes a configuration from all of its overrides.

        Raises:
            UserError: if that cannot be composed.
        """
        try:
            config = compose(self.loader, self.config, overrides)
            content = self.content(config)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, self.config) from error
        except (ValueError, TypeError) as error:  # Hydra's own, as for a group that is given a number
            raise UserError(name, str(error), "what Hydra can compose") from error
        text = json.dumps(content, sort_keys=True, default=str)
        return Configuration(name, tuple(overrides), config, hashlib.sha256(text.encode()).hexdigest()[:16])

    def content(self, config: DictConfig) -> dict[str, Any]:
        """What a configuration is, by flat key, without seed, threads and what says where things are kept."""
        return fixed_part(config, [*self.settings.identity_excludes, *filter(None, self._given)])

    def of_trial(self, trial: FrozenTrial) -> Configuration:
        """The configuration of one of the study's trials, composed once more.

        Raises:
            UserError: if it is not what the trial was run with, because the files that it is composed of have changed.
        """
        lines = list(trial.user_attrs["overrides"])
        for key in reversed(self._given):  # the agent's own, which it has put last
            if key and lines and lines[-1].startswith(f"{key}="):
                lines.pop()
        found = self.configuration(f"trial {trial.number}", lines)
        if changes := self.changes(trial, found):
            received = f"another configuration than it was run with (then -> now): {'; '.join(changes)}"
            raise UserError(found.name, received, "what the study was run with: files of conf/ have changed since")
        self._check_judged(found)
        return found

    def changes(self, trial: FrozenTrial, found: Configuration) -> list[str]:
        """What is another value in a configuration than in what Hydra wrote down of a trial, if that is still there."""
        recorded = Path(trial.user_attrs.get("output_dir", ""), ".hydra", "config.yaml")
        if not recorded.exists():
            return []
        then = OmegaConf.load(recorded)
        assert isinstance(then, DictConfig)
        return differences(self.content(then), self.content(found.config))

    def framed(self, name: str, own: Iterable[str]) -> Configuration:
        """A configuration by overrides of its own, which is kept where the study is and judged as the study is.

        Raises:
            UserError: if it cannot be composed.
        """
        frame = Frame.of(self.settings, self.config, self.fixed)
        return self.configuration(name, frame.around(own))

    @property
    def _given(self) -> tuple[str | None, str | None]:
        """The keys that an agent sets, in the order in which it does."""
        return self.settings.seed_key, self.settings.threads_key

    def _check_judged(self, found: Configuration) -> None:
        """Raises UserError unless a configuration is judged as the study is now."""
        judged, mine = self._judged(found.config), self._judged(self.config)
        if changes := differences(judged, mine):
            raise UserError(found.name, f"a trial that was judged otherwise ({'; '.join(changes)})", "one that was not")

    def _judged(self, config: DictConfig) -> Mapping[str, Any]:
        return {key: value for key, value in fixed_part(config, []).items() if below(key, self.settings.compared_by)}
