"""Logs saved models to MLflow: `log_model`, and a process that does it, `python -m sweep.tracking.log_model NICE`.

Trials load Keras and no MLflow, sweeper and agents MLflow and no Keras. This is the one place that needs both, so it is
a short process of its own, which costs no trial its memory or its GPU. It reads one line of JSON, what is to be logged
(see `sweep.tracking.model_process`), and writes one line for each model. When its input ends, so does it, at once.

The flavour is `mlflow.tensorflow`. Both it and `mlflow.keras` keep Keras's own file and predict with Keras's `predict`,
but `mlflow.keras` of MLflow 3.17 cannot keep an input example (it writes it to a folder that it makes only afterwards).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sweep.engine.outputs import redacted_outputs
from sweep.engine.trial import EXAMPLE_SUFFIX
from sweep.tracking.default_store import default_store
from sweep.tracking.logged_models import remove
from sweep.tracking.store import client, is_away, load_mlflow, reason, shown

PINNED = ("tensorflow", "keras", "numpy")
"""What a model needs to be loaded, in the versions that are installed here."""


def log_model(uri: str, run_id: str, path: str, name: str, tags: Mapping[str, str]) -> str:
    """Logs a saved Keras model to a run, whose status, times and params stay as they are; returns the model's id.

    The model gets a signature whose batch dimension is open, the example that lies beside the file, pinned
    requirements, and the run's metrics of the step that it was offered at. Of a model that cannot be logged nothing is
    left in MLflow.

    Args:
        uri: MLflow's tracking URI.
        run_id: the run.
        path: the model's file; see `sweep.engine.trial.Trial.offer_model`.
        name: what MLflow calls the model.
        tags: of the model.

    Raises:
        ValueError: if Keras cannot load the file.
        OSError: if a file cannot be read.
        mlflow.exceptions.MlflowException: if the store does not answer or refuses it.
    """
    import keras

    load_mlflow()
    import mlflow.tensorflow
    from mlflow.environment_variables import MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING
    from mlflow.models import Model, infer_signature

    keras.config.disable_interactive_logging()  # no progress bars of what MLflow predicts to see whether it can
    MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING.default = False  # names of this machine's secrets are none of the model's

    offered = json.loads(Path(path).with_suffix(EXAMPLE_SUFFIX).read_text(encoding="utf-8"))
    model = keras.saving.load_model(path, compile=False)
    example = _inputs(model, offered["inputs"])
    signature = infer_signature(example, model.predict(example, verbose=0))
    api = client(uri)
    run = api.get_run(run_id)
    params = {key: str(value) for key, value in run.data.params.items()}
    logged = api.create_logged_model(run.info.experiment_id, name, run_id, dict(tags), params)
    try:
        with default_store(uri):
            Model.log(
                artifact_path=None,
                flavor=mlflow.tensorflow,
                run_id=run_id,
                model_id=logged.model_id,
                step=offered["step"],
                model=model,
                signature=signature,
                input_example=example,
                pip_requirements=[f"{package}=={metadata.version(package)}" for package in PINNED],
            )
    except BaseException:
        with contextlib.suppress(Exception):  # what went wrong first is what has to be said
            remove(api, uri, logged.model_id)
        raise
    return str(logged.model_id)


def _inputs(model: Any, given: Any) -> Any:
    """Inputs as the arrays that the model takes."""
    import numpy as np

    if isinstance(given, dict):
        types = {tensor.name: tensor.dtype for tensor in model.inputs}
        return {name: np.asarray(values, types.get(name)) for name, values in given.items()}
    return np.asarray(given, model.inputs[0].dtype)


@redacted_outputs(streams=True)
def main() -> None:
    """Reads what is to be logged, logs it, and says what became of each."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is none of the answers
    os.nice(int(sys.argv[1]))
    jobs = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for job in jobs:
        began = time.perf_counter()
        try:
            answer: dict[str, Any] = {"model_id": log_model(**job)}
            said = f"{answer['model_id']}, {time.perf_counter() - began:.1f} s"
        except Exception as error:
            away = is_away(error)  # neither would the others be taken
            answer = {"error": f"{type(error).__name__}: {reason(error)}", "passing": away, "last": away}
            said = shown(traceback.format_exc())
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {job['path']}: {said}\n")
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if answer.get("last"):
            return


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    main()
