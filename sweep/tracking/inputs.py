"""What a trial says of a dataset, as an input of its MLflow run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def dataset_input(described: Mapping[str, Any]) -> Any:
    """An MLflow `DatasetInput` that holds a description alone: there is no content that MLflow could read.

    Args:
        described: payload of the event "dataset" of `sweep.engine.trial`.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

    columns = [{"name": name, "type": kind} for name, kind in described["columns"].items()]
    dataset = Dataset(
        name=described["name"],
        digest=described["digest"],
        source_type="code",  # MLflow's own word for what a program makes
        source=json.dumps({"tags": {}}),
        schema=json.dumps({"mlflow_colspec": columns}) if columns else None,
        profile=json.dumps(described["described"]),
    )
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, described["context"])])
