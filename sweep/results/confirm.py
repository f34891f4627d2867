"""`sweep confirm`: a study's best configurations and its baselines, trained again with seeds that nobody chose them by.

They are the trials of the sibling study NAME.confirm, which are judged on the test set: nothing else ever is. What was
trained by an earlier call is not trained again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from optuna.study import StudyDirection
from rich.console import Console

from sweep.engine import seeds as all_seeds
from sweep.engine.errors import UserError
from sweep.engine.recomposed import Recomposed
from sweep.engine.study import NOT_COMPARABLE
from sweep.metrics import NAMES, REFINED
from sweep.results import confirmed_shown, export, trainings
from sweep.results.candidates import Candidate, baselines_of, best_of
from sweep.results.champion import crown, uncrown
from sweep.results.confirmed import Confirmed, conclude
from sweep.results.origin import CONFIRMED
from sweep.results.trainings import Say, Trainings

KIND = "confirm"

_PURPOSE = 2
"""Of the seeds: see `sweep.engine.seeds.fresh_seeds`."""

_WITHOUT_NETWORK = ("test_zero_skill", "test_best_linear")
"""Facts of a trial that is the last word: the objective of what takes no network."""


def confirm(again: Recomposed, top: int, count: int, say: Say) -> bool:
    """Confirms a study's best configurations; writes down and shows what that has come to.

    Args:
        again: the study.
        top: how many of its configurations.
        count: how many seeds each is trained with.
        say: tells the user a line.

    Returns:
        Whether Ctrl-C was pressed: then the same command goes on.

    Raises:
        UserError: if the study has nothing that could be compared, or somebody else confirms it.
        CompactHydraException: if too many trainings fail.
    """
    _check_objective(again)
    candidates = _candidates(again, top)
    configurations = [candidate.configuration for candidate in candidates]
    seeds = all_seeds.fresh_seeds(again.study, _PURPOSE, count, trainings.used_seeds(again))
    # The trainings of a seed are beside each other, so that what is there at any time can be compared.
    wanted = [(one, seed) for seed in seeds for one in configurations]
    earlier = trainings.there_is(again, KIND)
    done = len(wanted) - len(earlier.unfinished(wanted)) if earlier else 0
    of_these = f", of which {done} are done" if done else ""
    say(f"{len(candidates)} configurations with {count} seeds each: {len(wanted)} trainings{of_these}")
    called = objective(str(again.settings.objective))
    found, interrupted = trainings.run(again, KIND, configurations, lambda _: wanted, say, called, final=True)
    if found is not None:
        confirmed = _conclude(again, found, candidates, seeds)
        _write(again, confirmed, say)
        _crown(again, found, confirmed, candidates, seeds, say)
    return interrupted


def objective(name: str) -> str:
    """What a study's objective is called on the test set."""
    return f"test/{name.removeprefix('val/')}"


def _check_objective(again: Recomposed) -> None:
    """Raises UserError unless the study's objective can be measured on the test set, and compared there."""
    name = str(again.settings.objective)
    if name.removeprefix("val/").removeprefix(REFINED) not in NAMES or not name.startswith("val/"):
        received = f"{again.study.study_name!r}, whose objective is {name}"
        raise UserError("STUDY", received, "a study whose objective is an error measure in original units, val/…")


def _candidates(again: Recomposed, top: int) -> list[Candidate]:
    own = best_of(again, top)
    known = {candidate.configuration.identity for candidate in own}
    found = own + [each for each in baselines_of(again) if each.configuration.identity not in known]
    if len(found) < 2:
        received = f"{top}, which leaves {found[0].name} alone"
        raise UserError("--top", received, "at least two configurations that differ, or one in a study with baselines")
    return found


def _conclude(again: Recomposed, found: Trainings, candidates: Sequence[Candidate], seeds: Sequence[int]) -> Confirmed:
    configurations = [candidate.configuration for candidate in candidates]
    trials = [found.trial(one, seed) for one in configurations for seed in seeds]
    facts: Mapping[str, Any] = next((trial.user_attrs["facts"] for trial in trials if trial), {})
    return conclude(
        objective=objective(str(again.settings.objective)),
        minimize=again.study.direction == StudyDirection.MINIMIZE,
        candidates=candidates,
        seeds=seeds,
        scores=found.scores(configurations, seeds),
        without_network={
            key.removeprefix("test_").replace("_", " "): facts[key] for key in _WITHOUT_NETWORK if key in facts
        },
        digest=facts.get("test_digest"),
        looks=again.study.user_attrs.get(CONFIRMED, {}).get("looks", []),
        not_comparable=again.study.user_attrs.get(NOT_COMPARABLE),
    )


def _write(again: Recomposed, confirmed: Confirmed, say: Say) -> None:
    """Leaves the result with the study, in its folder and on its page, and shows it."""
    study = again.study
    study.set_user_attr(CONFIRMED, {**confirmed.plain(), "when": datetime.now().isoformat(timespec="seconds")})
    files = confirmed_shown.save(confirmed, again.home / KIND)
    Console().print(confirmed_shown.table(confirmed, study.study_name))
    for sentence in confirmed_shown.sentences(confirmed):
        say(sentence)
    say(f"Written to {', '.join(map(str, files))}")
    text, metrics = confirmed_shown.markdown(confirmed), _metrics(confirmed)
    trainings.publish(again, "Confirmed", text, metrics, [(file, KIND) for file in files])
    if again.settings.export is not None:
        with contextlib.suppress(UserError):  # the trial's output is gone: the file stays as it is
            export.renew(
                study, {row.trial for row in confirmed.rows if row.trial is not None}, name=again.settings.export
            )


def _crown(
    again: Recomposed,
    found: Trainings,
    confirmed: Confirmed,
    candidates: Sequence[Candidate],
    seeds: Sequence[int],
    say: Say,
) -> None:
    """Registers the champion's model; without a champion, that of an earlier call is none any more."""
    name = again.study.study_name
    champion = next((one for one in candidates if one.name == confirmed.champion), None)
    if champion is not None:
        trials = [trial for seed in seeds if (trial := found.trial(champion.configuration, seed))]
        say(crown(found.study, trials, str(again.settings.objective), again.home / KIND, name))
        say(f"Its configuration: sweep export {name} --trial {champion.trial}")
    elif lost := uncrown(found.study, name):
        say(lost)


def _metrics(confirmed: Confirmed) -> dict[str, float]:
    """What the study's run has of the best candidate that is a trial of the study."""
    best = next(row.mean for row in confirmed.rows if row.trial is not None)
    found = {"mean": best.mean, "low": best.low, "high": best.high, "champion": float(confirmed.champion is not None)}
    return {confirmed.objective: best.mean, **{f"confirmed/{name}": value for name, value in found.items()}}
