"""Adds to the run of a study what was found out after its end."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.tracking.calls import log_all, metric
from sweep.tracking.note import FIXED, NOTE
from sweep.tracking.store import client, reason

if TYPE_CHECKING:
    from sweep.tracking.runs import StudyRun

log = logging.getLogger(__name__)


def add_to_study(
    parent: StudyRun, heading: str, text: str, metrics: Mapping[str, float], artifacts: Iterable[tuple[Path, str]]
) -> bool:
    """Adds to the run of a study; returns whether MLflow has it. The run's state stays as it is.

    Never raises because of the store: what it answers instead is logged.

    Args:
        parent: the study's run.
        heading: of the section of the run's description; a section of this heading that is there is replaced.
        text: of that section, in Markdown.
        metrics: numbers.
        artifacts: files, each with the folder of the run's artifacts that it goes to ("" is the top).
    """
    now = time.time_ns() // 1_000_000
    try:
        api = client(parent.store.uri)
        for path, folder in artifacts:
            api.log_artifact(parent.run_id, str(path), folder or None)
        points = [metric(name, value, now, 0) for name, value in metrics.items() if math.isfinite(value)]
        note = api.get_run(parent.run_id).data.tags.get(NOTE, "")
        log_all(api, parent.run_id, points, {}, {NOTE: with_section(note, heading, text)})
    except Exception as error:
        log.warning(
            "MLflow has not got what was added to study %s, %r: %s. The same command adds it",
            *(parent.study, heading, reason(error)),
        )
        return False
    return True


def with_section(note: str, heading: str, text: str) -> str:
    """A description in Markdown with a section of this heading, which replaces the one that is there.

    It is the last, but for what is fixed, which `describe` has filled the description up with: MLflow cuts its end.
    """
    parts = [part.strip() for part in re.split(rf"^(?=## |{FIXED}$)", note, flags=re.MULTILINE)]
    kept = [part for part in parts if part and part.partition("\n")[0] != f"## {heading}"]
    last = [kept.pop()] if kept and kept[-1].startswith(FIXED) else []
    return "\n\n".join([*kept, f"## {heading}\n\n{text.strip()}", *last]) + "\n"
