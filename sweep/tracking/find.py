"""Finds the runs of a study's trials."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sweep.tracking.store import client, is_gone, reason

log = logging.getLogger(__name__)


def trial_runs(uri: str, study_id: str, trials: Iterable[int]) -> dict[int, str]:
    """The ids of the runs of trials, by trial number; of none that is not there.

    Never raises because of the store: if it does not answer, that is logged, and there are none.

    Args:
        uri: MLflow's tracking URI; a SQLite file that is gone has no runs, and is not made.
        study_id: what the runs are tagged with.
        trials: numbers.
    """
    if is_gone(uri):
        return {}
    found: dict[int, str] = {}
    try:
        api = client(uri)
        experiments = [experiment.experiment_id for experiment in api.search_experiments()]
        for number in trials:
            tags = f"tags.`sweep.study_id` = '{study_id}' and tags.`sweep.trial` = '{number}'"
            found.update((number, str(run.info.run_id)) for run in api.search_runs(experiments, tags, max_results=1))
    except Exception as error:
        log.warning("MLflow has not told the runs of the trials: %s", reason(error))
    return found
