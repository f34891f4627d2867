"""A study of this project that nobody has run, for what is composed, chosen and compared beside one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.trial import create_trial

from sweep.cli import task
from sweep.engine.command import COMMAND, Command
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.recomposed import Recomposed
from sweep.engine.storage import open_storage
from sweep.paths import Paths
from sweep.recompose import recomposed
from sweep.results.catalogue import find

BEST = ("model.depth=4", "model.width=64", "train.loss=mae", "data.target_scale=2")


@contextmanager
def study_of(
    root: Path,
    *trials: tuple[float, Sequence[str]],
    fixed: Sequence[str] = (),
    directions: Sequence[optuna.study.StudyDirection] = (optuna.study.StudyDirection.MINIMIZE,),
    program: Sequence[str] = ("sweep", "run"),
    options: Sequence[str] = ("-m",),
) -> Iterator[Recomposed]:
    """A study with these complete trials: value and overrides of each; one with the overrides `BEST` unless given."""
    paths = Paths(root)
    names = [direction.name.lower() for direction in directions]
    study = create_or_resume(open_storage(None, paths.study("s")), "s", Identity({}, {}, {}, names), 3)  # type: ignore[arg-type]
    study.set_user_attr("objective", "val/log10_rel_error")
    overrides = ["tracking=none", "evaluation.size=100", *fixed]
    arguments = (*options, *overrides, "model.depth=range(1,9)")
    study.set_user_attr(COMMAND, Command(tuple(program), arguments, str(root)).plain())
    for number, (value, own) in enumerate(trials or [(-1.0, BEST)]):
        lines = [*overrides, *own, f"seed={number + 5}", "train.threads=1"]
        about = {"overrides": lines, "output_dir": str(root / "gone" / str(number)), "seed": number + 5}
        study.add_trial(create_trial(values=[value] * len(directions), user_attrs=about))
    with recomposed(paths, find(paths, "s"), task) as again:
        yield again
