"""The one look at the test set: in a trial that is the last word on its configuration, and nowhere else."""

from __future__ import annotations

from conf.schema import Config
from data.evaluation import evaluation_set
from sweep.engine.trial import current_trial
from sweep.metrics import BASELINES
from sweep.training.judge import Judge


def last_word(judge: Judge, settings: Config, step: int) -> float:
    """Judges a network as it stands on the test set, logs every measure as test/…, and returns the objective there.

    The trial also gets to know the objective of what takes no network, on the same matrices, and their digest.

    Args:
        judge: of the network, with the weights that the validation set has chosen.
        settings: the configuration.
        step: the step that these weights are of.

    Raises:
        RuntimeError: if this trial is not the last word on its configuration: the test set is kept back from it.
    """
    trial = current_trial()
    if not trial.final:
        raise RuntimeError("the test set is for trials of `sweep confirm` alone")
    frozen = evaluation_set(settings.evaluation, "test")
    values = Judge(judge.model, frozen, settings.evaluation.refine).measures()
    trial.log({f"test/{name}": value for name, value in values.items()}, step)
    measure = settings.objective.metric.rpartition("/")[2]
    alone = {f"test {name}": made(frozen.inputs, frozen.truth) for name, made in BASELINES.items()}
    without = {name.replace(" ", "_"): found[measure] for name, found in alone.items() if measure in found}
    trial.describe(test_digest=frozen.digest, **without)
    return values[measure]
