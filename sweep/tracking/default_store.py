"""What MLflow keeps for a whole process: the store that it uses where nobody names one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sweep.tracking.store import full, load_mlflow

_VARIABLE = "MLFLOW_TRACKING_URI"


@contextmanager
def default_store(uri: str) -> Iterator[None]:
    """Makes a store MLflow's default for the length of a block: a few of its calls take no other."""
    mlflow = load_mlflow()
    variable = os.environ.get(_VARIABLE)
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(full(uri))
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        if variable is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = variable
