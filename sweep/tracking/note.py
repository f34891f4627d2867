"""A trial in a few lines of Markdown: the description of its run, which MLflow shows at the top of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description."""

FIXED = "### What is fixed"
"""The heading of the last part of a study's description: the part that is cut if all of it is too long."""

_TRACEBACK = 3000
"""Characters of a traceback's end: MLflow takes 8,000 in all, and the whole of it is among the artifacts."""

_STATES = {
    "COMPLETE": "is complete",
    "PRUNED": "was pruned",
    "FAIL": "failed",
    "STOPPED": "was interrupted",
    "RUNNING": "is running",
}


@dataclass(frozen=True)
class Note:
    """What there is to say of a trial.

    Attributes:
        title: what it is.
        varied: what tells it from the other trials of its study, by key.
        again: commands that do it again.
        objectives: what the objectives are called.
        does: what the commands do.
    """

    title: str
    varied: Mapping[str, Any] = field(default_factory=dict)
    again: Sequence[str] = ()
    objectives: Sequence[str] = ("objective",)
    does: str = "To train it again"

    def text(self, state: str = "RUNNING", reason: str = "", values: Sequence[float] = (), traceback: str = "") -> str:
        """The Markdown.

        Args:
            state: COMPLETE, PRUNED, FAIL, STOPPED or RUNNING.
            reason: why it was pruned or failed.
            values: the objectives of a complete trial.
            traceback: of the exception that ended it.
        """
        lines = [f"**{plain(self.title)}** {_STATES[state]}" + (f": {plain(reason)}" if reason else ".")]
        lines += [f"{plain(name)} = **{value:.6g}**" for name, value in zip(self.objectives, values, strict=False)]
        if self.varied:
            lines.append(table(["what varied", "value"], [(key, _short(value)) for key, value in self.varied.items()]))
        if self.again:
            lines.append(f"{self.does}:\n\n" + fenced("\n".join(self.again)))
        if traceback:
            lines.append(fenced(traceback[-_TRACEBACK:]))
        return "\n\n".join(lines)


def ended(text: str | None, note: Note, state: str, reason: str, values: Sequence[float]) -> str:
    """The description of a run that was left open, whose trial has ended: what is known, and the rest as it was.

    Args:
        text: the run's description, if it has one.
        note: what is known of the trial.
        state: the state that it ended in.
        reason: why.
        values: the objectives of a complete trial.
    """
    _, _, rest = (text or "").partition("\n\n")  # the state comes first
    if not rest:
        return note.text(state, reason, values)
    return f"{replace(note, varied={}, again=()).text(state, reason, values)}\n\n{rest}"


def plain(text: Any) -> str:
    """A text that Markdown shows as it is, in a line: of a table, too."""
    escaped = "".join(f"\\{char}" if char in r"\`*_{}[]<>#|~" else char for char in str(text))
    return " ".join(escaped.split())


def table(headings: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table of texts that are shown as they are."""
    head, *body = (f"| {' | '.join(map(plain, line))} |" for line in [headings, *rows])
    return "\n".join([head, "|" + " --- |" * len(headings), *body])


def fenced(text: str) -> str:
    """A text as it is, in a block of its own."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
