"""`sweep ablate`: from a baseline's configuration to the study's best, one change at a time, the most helpful first.

Every change that is left is tried with one seed. The one with the best score is made, and the configuration with it is
trained with several seeds that chose nothing. They are the trials of the sibling study NAME.ablate, which are judged as
the study's are. Which change comes next depends on the first seed alone, so that the way is the same whenever the
command goes on, with whichever number of seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from hydra.core.object_type import ObjectType
from omegaconf import DictConfig
from optuna.study import StudyDirection
from rich.console import Console

from sweep.engine import baselines
from sweep.engine import seeds as all_seeds
from sweep.engine.errors import UserError
from sweep.engine.explain import nearest
from sweep.engine.literals import text_of
from sweep.engine.recomposed import Configuration, Recomposed
from sweep.engine.study import NOT_COMPARABLE
from sweep.results import ablation_shown, trainings
from sweep.results.ablation import Ablation, conclude
from sweep.results.candidates import best_of
from sweep.results.changes import Between, Check, Content, changes
from sweep.results.trainings import Say, Trainings
from sweep.results.walk import Walk, Way

KIND = "ablate"

ABLATED = "ablated"
"""Study attribute: by the name of the baseline, what was found last: see `Ablation.plain`."""

_PURPOSE = 3
"""Of the seeds: see `sweep.engine.seeds.fresh_seeds`."""


Incomparable = Callable[[list[DictConfig], dict[str, DictConfig], bool], str | None]
"""Says why composed configurations and further ones, by name, cannot be compared by the objective of the first; None if
they can. Not to be told that this is forced, it raises UserError instead."""


def ablate(
    again: Recomposed,
    origin: str,
    count: int,
    most: int | None,
    rooms: Iterable[str],
    check: Check,
    incomparable: Incomparable,
    say: Say,
) -> bool:
    """Walks from a baseline's configuration to the study's best; writes down and shows what each change has brought.

    Args:
        again: the study.
        origin: name of an experiment, or of one of the study's baselines.
        count: how many seeds each step is trained with.
        most: how many steps there are before the rest is made in one; None for as many as there are changes.
        rooms: of the configuration, whose keys only make sense together.
        check: raises UserError if a composed configuration cannot be trained.
        incomparable: says why the baseline and the best cannot be compared.
        say: tells the user a line.

    Returns:
        Whether Ctrl-C was pressed: then the same command goes on.

    Raises:
        UserError: if there is no such experiment, nothing to change, or somebody else does this.
        CompactHydraException: if too many trainings fail.
    """
    (best,) = best_of(again, 1)
    begin = _origin(again, origin)
    try:
        check(begin.config)
    except UserError as error:
        received = f"{origin!r}, which cannot be judged as the study is ({error})"
        raise UserError("--from", received, "a configuration that can") from error
    # Of a study that was forced, it is known, and marked on everything it writes.
    marked = again.study.user_attrs.get(NOT_COMPARABLE)
    if not marked and (why := incomparable([best.configuration.config], {origin: begin.config}, True)):
        received = f"{origin!r}, which cannot be compared with {best.name}, the best: {why}"
        raise UserError("--from", received, "a configuration that can")
    start, end = Content.of(again, begin), Content.of(again, best.configuration)
    parts = changes(start, end, rooms)
    if not parts:
        raise UserError("--from", f"{origin!r}, which is what {best.name}, the best, is", "one that differs from it")
    screen, *seeds = all_seeds.fresh_seeds(again.study, _PURPOSE, count + 1, trainings.used_seeds(again))
    minimize = again.study.direction == StudyDirection.MINIMIZE
    walk = Walk(Between(again, end, check), begin, start, parts, most, screen, minimize)
    say(_cost(len(parts), count, most))
    found, interrupted = trainings.run(again, KIND, [begin], lambda there: walk.wanted(there, seeds), say)
    if found is not None:
        _write(again, _conclude(again, walk.way(found), found, origin, best.name, seeds), say)
    return interrupted


def _origin(again: Recomposed, name: str) -> Configuration:
    """The configuration that the way begins at."""
    known = baselines.read(again.settings, again.config, again.fixed).overrides
    if name in known:
        return again.configuration(name, known[name])
    experiments = again.loader.get_group_options("experiment", ObjectType.CONFIG)
    if name not in experiments:
        listed = sorted({*known, *experiments})
        raise UserError("--from", repr(name), f"an experiment, or a baseline of the study: {nearest(name, listed)}")
    return again.framed(name, [f"+experiment={text_of(name)}"])


def _cost(parts: int, count: int, most: int | None) -> str:
    """How many trainings there are."""
    screened = min(parts - 1, parts if most is None else most)
    steps = parts if most is None else min(parts, most + 1)
    tried, confirmed = sum(parts - step for step in range(screened)), (steps + 1) * count
    what = f"{parts} changes, of which {tried} trials tell the order; " if tried else f"{parts} changes; "
    return f"{what}{steps + 1} configurations with {count} seeds each: about {tried + confirmed} trainings"


def _conclude(again: Recomposed, way: Way, found: Trainings, origin: str, best: str, seeds: Sequence[int]) -> Ablation:
    scores = found.scores([step.configuration for step in way.steps], seeds)
    minimize = again.study.direction == StudyDirection.MINIMIZE
    marked = again.study.user_attrs.get(NOT_COMPARABLE)
    return conclude(str(again.settings.objective), minimize, origin, best, seeds, way.steps, scores, marked)


def _write(again: Recomposed, ablation: Ablation, say: Say) -> None:
    """Leaves the result with the study, in its folder and on its page, and shows it."""
    study = again.study
    study.set_user_attr(ABLATED, {**study.user_attrs.get(ABLATED, {}), ablation.origin: ablation.plain()})
    files = ablation_shown.save(ablation, again.home / KIND)
    Console().print(ablation_shown.table(ablation, study.study_name))
    for sentence in ablation_shown.sentences(ablation):
        say(sentence)
    say(f"Written to {', '.join(map(str, files))}")
    text = ablation_shown.markdown(ablation)
    heading = f"From {ablation.origin} to the best"
    trainings.publish(again, heading, text, {}, [(file, KIND) for file in files])
