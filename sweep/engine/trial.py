"""What a task sees of the trial it runs in.

A task says what it measured; whoever runs the task decides what becomes of it. In a study's trial process the events go
up a pipe to the agent, in a single `sweep run` straight to the tracker, and anywhere else nowhere at all: a task that
calls `current_trial()` runs unchanged without a study.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Send = Callable[[str, dict[str, Any]], bool]
"""Takes an event (its kind and its payload) and returns whether the trial should stop."""


MODEL_SUFFIX = ".keras"
"""How the file of a model ends that can be offered."""

EXAMPLE_SUFFIX = ".example.json"
"""How the file beside a model ends that holds inputs of it, and the step whose metrics are the model's."""


class TrialPruned(Exception):  # noqa: N818 - Optuna's name for it
    """Raised by `Trial.report` when the study's pruner gives the trial up. Let it pass."""


_DIGEST = 36
"""MLflow's limit."""


def _nowhere(_kind: str, _payload: dict[str, Any]) -> bool:
    return False


@dataclass(frozen=True)
class Trial:
    """The running trial. Outside a study, every method does nothing.

    Attributes:
        number: the trial's number in its study, or None outside a study.
        send: where events go.
        earlier: output folders of earlier attempts at the same trial, which died or were interrupted, the latest first:
            a task that leaves checkpoints finds them there.
        final: whether this trial is the last word on its configuration, as in `sweep confirm`: then, and only then, the
            task may use what it keeps back from everything else, such as a test set, and return the objective on that.
    """

    number: int | None = None
    send: Send = _nowhere
    earlier: tuple[str, ...] = ()
    final: bool = False

    def report(self, value: float, step: int) -> None:
        """Reports an intermediate value of the objective, which the pruner judges.

        Args:
            value: the objective as it stands; may be non-finite.
            step: how far the trial has come, in whatever unit the task counts; rises from call to call.

        Raises:
            TrialPruned: if the trial should stop.
            ValueError: if `step` is negative.
        """
        if step < 0:
            raise ValueError(f"step: got {step}, allowed is an integer of at least 0")
        if self.send("report", {"value": float(value), "step": int(step)}):
            raise TrialPruned(f"pruned at step {step}")

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Records metrics at a step. The last value of each is kept with the trial."""
        values = {str(name): float(value) for name, value in metrics.items()}
        self.send("metrics", {"values": values, "step": int(step)})

    def set_constraint(self, key: str, value: float) -> None:
        """Says how far the trial is from fulfilling a constraint, as Optuna's `Trial.set_constraint` does.

        Args:
            key: what the constraint is called.
            value: at most 0 if it is fulfilled; a trial with any value above 0 is never the best.

        Raises:
            ValueError: if `value` is not a number.
        """
        value = float(value)
        if value != value:
            raise ValueError(f"constraint {key}: got {value}, allowed is a number, at most 0 if it is fulfilled")
        self.send("constraint", {"name": str(key), "value": value})

    def describe(self, **facts: str | int | float) -> None:
        """Records facts about the trial that are not in its configuration, such as its number of parameters."""
        self.send("facts", {name: _plain(name, fact) for name, fact in facts.items()})

    def use_dataset(
        self, name: str, digest: str, context: str, columns: Mapping[str, str] | None = None, **described: Any
    ) -> None:
        """Records what the trial is trained or judged on: its description, not its content, which is never read.

        Args:
            name: what people call it.
            digest: the same for the same data and no other; at most 36 characters.
            context: what it is used for, such as "training" or "evaluation".
            columns: its columns by name, each with its type in words.
            described: whatever else is worth knowing, as JSON has it: how it is made, how large it is.

        Raises:
            ValueError: if `digest` is empty or too long.
            TypeError: if JSON cannot have what is described.
        """
        if not 1 <= len(digest) <= _DIGEST:
            raise ValueError(f"digest: got {digest!r}, allowed is a text of 1 to {_DIGEST} characters")
        payload = {"name": name, "digest": digest, "context": context, "columns": dict(columns or {})}
        payload["described"] = described
        json.dumps(payload)
        self.send("dataset", payload)

    def attach(self, path: str | Path, folder: str | Path = "") -> None:
        """Records a file of the trial's, under `folder` of its artifacts. The file must stay where it is."""
        self.send("artifact", {"path": str(Path(path).absolute()), "folder": str(folder)})

    def offer_model(self, path: str | Path, example: Any, step: int = 0) -> None:
        """Offers a trained model, which is logged to MLflow if `tracking.log_model` wants it. The last offer counts.

        Writes the example beside the model, as NAME.example.json. Both files must stay where they are.

        Args:
            path: a Keras model's file, NAME.keras, which has to load without this program.
            example: a few inputs of the model: an array `[count, ...]` or nested lists; of a model with several inputs
                a mapping from their names.
            step: at which the metrics were logged that are the model's.

        Raises:
            ValueError: if there is no such file, or it is none of Keras's.
        """
        if self.send is _nowhere:
            return
        path = Path(path).absolute()
        if path.suffix != MODEL_SUFFIX or not path.is_file():
            raise ValueError(f"path: got {path}, allowed is a Keras model's file, *{MODEL_SUFFIX}")
        inputs = {k: _listed(v) for k, v in example.items()} if isinstance(example, Mapping) else _listed(example)
        text = json.dumps({"step": int(step), "inputs": inputs})
        path.with_suffix(EXAMPLE_SUFFIX).write_text(text, encoding="utf-8")
        self.send("model", {"path": str(path)})


def _listed(array: Any) -> Any:
    """An array of NumPy's or TensorFlow's as nested lists."""
    array = array.numpy() if hasattr(array, "numpy") else array
    return array.tolist() if hasattr(array, "tolist") else array


def _plain(name: str, fact: Any) -> str | int | float:
    fact = fact.item() if hasattr(fact, "item") else fact  # a number of NumPy's or TensorFlow's
    if not isinstance(fact, str | int | float):
        raise TypeError(f"{name}: got {fact!r}, allowed is a text or a number")
    return fact


_current = Trial()


def current_trial() -> Trial:
    """The trial that this process runs; outside a study, one whose methods do nothing."""
    return _current


@contextmanager
def running(trial: Trial) -> Iterator[Trial]:
    """Makes `trial` the current one for the length of a `with` block."""
    global _current
    previous, _current = _current, trial
    try:
        yield trial
    finally:
        _current = previous
