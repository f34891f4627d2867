"""What a process writes by itself, without anything secret in it: log records, its terminal, and Hydra's files."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra.core.utils
from omegaconf import DictConfig, ListConfig, OmegaConf

from sweep.engine.redact import redact, redacted


@contextmanager
def redacted_outputs(streams: bool = False) -> Iterator[None]:
    """Redacts what this process logs, and what Hydra writes to `.hydra/`, for the length of a `with` block.

    Records are redacted where they are made, which holds for every logger and handler, however Hydra configures them.

    Args:
        streams: whether what is printed is redacted, too. What other programs write to this process's terminal is not.
    """
    make, save, out, err = logging.getLogRecordFactory(), hydra.core.utils._save_config, sys.stdout, sys.stderr
    logging.setLogRecordFactory(_records(make))
    hydra.core.utils._save_config = _files(save)
    if streams:
        sys.stdout, sys.stderr = RedactedStream(out), RedactedStream(err)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)
        hydra.core.utils._save_config = save
        if streams:
            sys.stdout, sys.stderr = out, err


class RedactedStream:
    """A text stream that redacts every text before it goes to another, of which it has all the rest."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text, redacted."""
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes several."""
        self._stream.writelines(map(redact, lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _records(make: Any) -> Any:
    def redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = make(*args, **kwargs)
        try:
            said = record.getMessage()
        except Exception:  # a mistake in a call to a logger, which its handlers will tell
            return record
        clean = redact(said)
        if clean != said:
            record.msg, record.args = clean, ()
        if record.exc_info and record.exc_info[0] is not None:
            trace = logging.Formatter().formatException(record.exc_info)
            if (clean := redact(trace)) != trace:
                record.exc_text = clean  # which formatters take instead of formatting the exception themselves
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return record

    return redacted_record


def _files(save: Any) -> Any:
    def save_redacted(config: DictConfig | ListConfig, filename: str, output_dir: Path) -> None:
        plain = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
        clean = redacted(plain)
        save(config if clean == plain else OmegaConf.create(clean), filename, output_dir)

    return save_redacted
