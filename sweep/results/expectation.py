"""Whether a run of an exported configuration gives the number that its trial gave, and if not, what is not the same.

An exported file carries what is expected under the key `expects`, where the schema checks it. It is no part of what
makes a study, of a run's params, or of what is exported again.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial

from sweep.engine.identity import flat
from sweep.engine.made_with import MADE_WITH, made_with
from sweep.engine.trial import Send
from sweep.results.exported import EXPECTS, NOT_CHOSEN, NOT_EXPORTED, exported_values
from sweep.tracking.source import CHANGED

LIKE = 3
"""From how many equal digits on two values are said to be like each other."""


def expectation(trial: FrozenTrial, study: str, metric: str, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a run of a trial's configuration is to be compared with; None if the trial has no single value.

    Args:
        trial: the trial.
        study: its study's name.
        metric: what its value is called.
        values: the exported configuration, as plain values.
    """
    if not trial.values or len(trial.values) != 1:
        return None
    attributes = trial.user_attrs
    return {
        "of": f"trial {trial.number} of study {study}",
        "metric": metric,
        "value": trial.values[0],
        "configuration": digest(values),
        "evaluation": attributes.get("facts", {}).get("evaluation_digest"),
        "made_with": dict(attributes.get(MADE_WITH, {})),
    }


def digest(values: Mapping[str, Any]) -> str:
    """A name of plain nested values: the same values have the same, in whatever order they are."""
    return hashlib.sha256(json.dumps(flat(values), sort_keys=True, default=str).encode()).hexdigest()[:16]


class Heard:
    """Takes a trial's events, hands them on, and remembers the facts.

    Attributes:
        facts: by name.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self.facts: dict[str, Any] = {}

    def __call__(self, kind: str, payload: dict[str, Any]) -> bool:
        """Takes an event, as `Send`."""
        if kind == "facts":
            self.facts.update(payload)
        return self._send(kind, payload)


def as_expected(config: DictConfig, value: float, evaluation: str | None, commit: str | None) -> str:
    """Says, within a Hydra job, whether the run of an exported configuration gave what it expects; see `compared`.

    Args:
        config: the run's configuration.
        value: its objective.
        evaluation: names what it was judged on.
        commit: of the source that it ran from: see `sweep.tracking.source.Source.state`.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    given = [text for text in HydraConfig.get().overrides.task if _key(text) not in (*NOT_CHOSEN, *NOT_EXPORTED)]
    values = exported_values(plain)
    return compared(plain[EXPECTS], config.objective.metric, value, values, given, evaluation, made_with(commit))


def compared(
    expects: Mapping[str, Any],
    metric: str,
    value: float,
    values: Mapping[str, Any],
    overrides: Iterable[str],
    evaluation: str | None,
    made_with: Mapping[str, str],
) -> str:
    """Says whether a run gave what is expected; if not, how far it agrees, and what is not as it was.

    Args:
        expects: what `expectation` gave.
        metric: the run's objective.
        value: what it was; nan if the training diverged.
        values: the run's configuration, as plain values, without what is not exported.
        overrides: those that the user gave.
        evaluation: names what the run was judged on.
        made_with: what it was run with.
    """
    known = f"{expects['of']} had {expects['metric']} = {expects['value']!r}"
    if metric != expects["metric"]:
        return f"Not compared: {known}, and the objective of this run is {metric}."
    if value == expects["value"]:
        return f"The same value as {expects['of']} had, to the last digit."
    digits = equal_digits(value, expects["value"])
    like = f"The same to {digits} digits" if digits >= LIKE else "Not the same value"
    changed = list(_changes(expects, values, overrides, evaluation, made_with))
    why = f"Not as it was: {'; '.join(changed)}." if changed else "Nothing else that is known of the two differs."
    return f"{like}: {known}, this run {value!r}. {why}"


def equal_digits(one: float, other: float) -> int:
    """How many significant digits two numbers have in common, at most 16; none if one is not finite."""
    largest = max(abs(one), abs(other))
    if not math.isfinite(largest) or math.isnan(one - other):
        return 0
    return 16 if one == other else min(max(math.floor(-math.log10(abs(one - other) / largest)), 0), 16)


def _key(override: str) -> str:
    """The first part of the key that an override sets."""
    return re.split(r"[.=@]", override.lstrip("+~"))[0]


def _changes(
    expects: Mapping[str, Any],
    values: Mapping[str, Any],
    overrides: Iterable[str],
    evaluation: str | None,
    made_with: Mapping[str, str],
) -> Iterable[str]:
    if digest(values) != expects["configuration"]:
        given = ", ".join(overrides)
        yield f"the configuration ({given})" if given else "the configuration, which was changed in its file"
    if evaluation != expects["evaluation"]:
        yield f"the evaluation set (digest {expects['evaluation']} then, {evaluation} now)"
    then = expects["made_with"]
    for name in dict.fromkeys((*then, *made_with)):
        if then.get(name) != made_with.get(name):
            yield f"{name} ({then.get(name, 'none')} then, {made_with.get(name, 'none')} now)"
        elif then[name].endswith(CHANGED):
            yield f"perhaps what was changed since that commit ({then[name]}, then and now)"
