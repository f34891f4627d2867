"""`sweep sync`: what waits for MLflow is written, and its runs and models are made to agree with their studies."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna

from sweep.engine.errors import UserError
from sweep.engine.identity import NAME
from sweep.engine.lease import Lease
from sweep.engine.parent import known_run
from sweep.engine.storage import JOURNAL, Unwritable, open_storage, recall
from sweep.engine.study import MAX_RETRIES, load_study, outstanding
from sweep.engine.supervisor import SWEEPER
from sweep.engine.works import SIBLINGS, split
from sweep.paths import Paths
from sweep.results import leaderboard
from sweep.results.catalogue import Entry, entries, find
from sweep.results.curves import Curves
from sweep.results.models import catch_up
from sweep.results.reconcile import reconcile
from sweep.results.running import runner
from sweep.results.story import end_page
from sweep.tracking.model_process import LOG
from sweep.tracking.note import NOTE, Note, ended
from sweep.tracking.runs import last_step, status
from sweep.tracking.spool import Event, Spool, look, spools, waiting
from sweep.tracking.store import shown
from sweep.tracking.tracker import take_over

GATHERING_SECONDS = 45.0
"""How long an event may be on its way to a store that answers."""


def sync(paths: Paths, study: str | None, url: str | None = None) -> Iterator[str]:
    """Writes what waits, and makes the runs of the studies that it is of agree with them.

    Args:
        paths: where the studies and runs are.
        study: the name of a study, or a folder: of another application's study, or of a run; None is all studies and
            runs of which something was left.
        url: look for studies in this storage alone.

    Yields:
        What there is to say, a line for each study and run.

    Raises:
        UserError: in the end, if something could not be written; it waits on.
    """
    where, found, alone = paths.mlruns, [], []
    if study and Path(study).is_dir() and not (NAME.fullmatch(study) and paths.study(study).is_dir()):
        where = Path(study)
        found = [Entry(name, where, recall(where)) for name in sorted(_studies_in(where) or _studies_kept_in(where))]
        alone = spools(where)
    elif study:
        found = [find(paths, split(study)[0], url)]
    else:
        found = [entry for entry in entries(paths, url) if entry.home is not None and spools(entry.home)]
        alone = sorted(paths.mlruns.glob("runs/*/*/tracking.*.jsonl"))
    steps: list[Callable[[], str]] = [partial(_sync_study, entry) for entry in found]
    steps += [partial(_sync_run, path) for path in alone if _of_no_study(path)]
    if not steps:
        yield f"Nothing waits for MLflow in {where}."
    failed: UserError | None = None
    for step in steps:
        try:
            yield step()
        except UserError as error:
            if failed is not None:
                yield str(failed)
            failed = error
    if failed is not None:
        raise failed


def overdue(entry: Entry) -> int:
    """How many events of a study wait for MLflow, and have for longer than it takes to gather them."""
    seen = [look(path) for path in spools(entry.home)] if entry.home else []
    latest = (time.time() - GATHERING_SECONDS) * 1000
    return sum(each.waiting for each in seen if each and each.since and each.since < latest)


def _sync_study(entry: Entry) -> str:
    """Does it for a study and its siblings; returns what there is to say."""
    home, who = entry.home, f"Study {entry.name}"
    studies = list(_family(entry))
    for study in studies:
        if process := runner(study):
            held = _count(waiting(home) if home else 0, "event")
            return f"{who} runs ({process}): what waits, {held}, is written by its own processes."
    if not studies and home is not None:  # its storage is on another machine, whose agent this was
        return _write(spools(home), who)
    run = known_run(studies[0]) if studies else None
    if run is None:
        return f"{who} is not tracked."
    with contextlib.ExitStack() as undo:
        for study in studies:
            undo.enter_context(_held(study))
        if home is None:
            home = Path(undo.enter_context(TemporaryDirectory()))
        before, page = waiting(home), run.page(home)
        undo.callback(page.close, 0)
        if not page.catch_up(math.inf):
            if page.away:
                raise _away(page.away, who, page.waiting)
            return f"{who}: a process that lives holds {_count(page.waiting, 'event')}, and writes them itself."
        closed = made = 0
        page.step = max(page.step, last_step(run))
        if status(run) == "RUNNING":
            end_page(page, _state(studies[0]))
        for study in studies:
            if (own := known_run(study)) is None:
                continue
            if (done := reconcile(study, own, page, orphans=True)) is None:
                raise _away(page.away or shown(own.store.uri), who, page.waiting)
            closed, made = closed + done.closed, made + done.made
        Curves(studies[0], page).update()
        page.close(math.inf)
        if page.waiting:
            raise _away(page.away or shown(run.store.uri), who, page.waiting)
        said = _said(who, before - page.waiting - page.lost, page.lost, page.refusal, closed, made)
        return said + "".join(_models(study, home) for study in studies)


def _models(study: optuna.Study, home: Path) -> str:
    """Logs the models of a study that MLflow lacks; returns what there is to say, which is nothing if it has them."""
    folder = Entry(study.study_name, home, None).folder
    if catch_up(study, folder):
        return ""
    return f" MLflow has not got every model of {study.study_name}: see {folder}/{LOG}."


def _family(entry: Entry) -> Iterator[optuna.Study]:
    """A study, if it has begun, and its siblings."""
    names = [
        entry.name,
        *(f"{entry.name}.{kind}" for kind in SIBLINGS),
        *(_studies_in(entry.home) if entry.home else ()),
    ]
    for name in dict.fromkeys(names):
        with contextlib.suppress(KeyError):
            yield load_study(entry.storage(), name)


def _studies_in(home: Path) -> set[str]:
    """The names of the studies that left something in a folder, without those of siblings."""
    tags = [seen.whose["tags"] for path in spools(home) if (seen := look(path))]
    return {split(each["sweep.study"])[0] for each in tags if "sweep.study" in each}


def _of_no_study(path: Path) -> bool:
    """Whether a spool is that of a run alone."""
    seen = look(path)
    return seen is not None and "sweep.study" not in seen.whose["tags"]


def _studies_kept_in(home: Path) -> set[str]:
    """The names of the studies whose journal is in a folder, without those of siblings."""
    if recall(home) is not None or not (home / JOURNAL).exists():
        return set()
    return {split(study.study_name)[0] for study in open_storage(None, home).get_all_studies()}


@contextlib.contextmanager
def _held(study: optuna.Study) -> Iterator[None]:
    """Takes the lease of a study that nobody runs, so that whoever would go on with it now is refused."""
    lease = Lease(study, SWEEPER)
    try:
        with contextlib.suppress(Unwritable):  # on a full disk too
            lease.beat()
        yield
    finally:
        with contextlib.suppress(Unwritable):
            lease.release()


def _state(study: optuna.Study) -> str:
    """The state that a study whose sweeper is gone has ended in."""
    if outstanding(study, study.user_attrs.get(MAX_RETRIES, 0)):
        return "stopped"
    return "finished" if leaderboard.ranked(study) else "failed"


def _sync_run(path: Path) -> str:
    """Does it for a run alone, which is closed if its process was killed; returns what there is to say."""
    who = f"Run {path.parent.parent.name}/{path.parent.name}"
    spool = Spool.take(path)
    if spool is None:
        return f"{who} runs: what waits is written by its own process."
    last, note = None, None
    for last in spool.events():
        note = last.payload.get(NOTE, note)
    if last is not None and last.kind != "end":
        state, reason = "STOPPED", "killed: its process is gone"
        killed = {"state": state, "reason": reason, "values": []}
        text = ended(note, Note(who), state, reason, ())
        spool.append(Event(last.time, last.number, "tags", {NOTE: text}))
        spool.append(Event(last.time, last.number, "leavings", {"traceback": ""}))
        spool.append(Event(last.time + 1, last.number, "end", killed))
    spool.close()
    return _write([path], who)


def _write(paths: Iterable[Path], who: str) -> str:
    """Writes what was left in spools; returns what there is to say."""
    written, lost, refusal = 0, 0, ""
    for path in paths:
        tracker = take_over(path)
        if tracker is None:
            continue
        before = tracker.waiting
        tracker.close(math.inf)
        if tracker.waiting:
            raise _away(tracker.away or tracker.address, who, tracker.waiting)
        written, lost = written + before - tracker.lost, lost + tracker.lost
        refusal = refusal or tracker.refusal
    return _said(who, written, lost, refusal)


def _away(address: str, who: str, events: int) -> UserError:
    whose = who[:1].lower() + who[1:]
    kept = f"nothing is lost: {_count(events, 'event')} of {whose} wait on, and the same command writes them"
    return UserError("tracking.uri", address, f"an MLflow store that answers; {kept}")


def _said(who: str, written: int, lost: int, refusal: str, closed: int = 0, made: int = 0) -> str:
    counts = [(written, "event", "written"), (lost, "event", f"lost ({refusal or 'they cannot be read'})")]
    counts += [(closed, "run", "closed"), (made, "run", "made")]
    listed = ", ".join(f"{_count(count, what)} {done}" for count, what, done in counts if count)
    return f"{who}: {listed or 'nothing waits, and its runs are as they should be'}."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
