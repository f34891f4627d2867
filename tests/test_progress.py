import io
import json
import logging
from datetime import datetime, timedelta

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from rich.console import Console

from sweep.results.progress import Progress, duration, overview, render
from sweep.results.snapshot import snapshot

X = {"optimizer.learning_rate": FloatDistribution(0, 1)}


@pytest.fixture
def at_work(study):
    """Of 8 trials: 2 complete in 10 s each, 1 failed and running again, 1 running besides, the rest waiting."""
    for key, value in {"n_trials": 8, "objective": "val/log10_rel_error", "slots": 2}.items():
        study.set_user_attr(key, value)
    now = datetime.now()

    def add(state, start, seconds=None, **more):
        searched = {"params": {"optimizer.learning_rate": 0.5}, "distributions": X} if start is not None else {}
        trial = create_trial(state=state, **searched, **more)
        trial.datetime_start = None if start is None else now - timedelta(seconds=start)
        trial.datetime_complete = None if seconds is None else trial.datetime_start + timedelta(seconds=seconds)
        study.add_trial(trial)

    add(TrialState.COMPLETE, 1020, 10, values=[-0.5])
    add(
        TrialState.COMPLETE, 1015, 10, values=[-0.7]
    )  # they overlap by 5 s, and then nothing ran for a quarter of an hour
    add(TrialState.FAIL, 1000, 10, user_attrs={"reason": "crash: SIGKILL\nmore"})
    add(TrialState.RUNNING, 5, intermediate_values={50: -0.1, 100: -0.2}, user_attrs={"slot": 1, "agent": "a"})
    add(TrialState.RUNNING, 5, user_attrs={"slot": 0, "agent": "a", "retry_of": 2})
    for _ in range(3):
        add(TrialState.WAITING, None)
    return study


def drawn(renderable, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def test_a_snapshot_counts_what_there_is(at_work):
    seen = snapshot(at_work)
    assert seen.counts == {"COMPLETE": 2, "RUNNING": 2, "WAITING": 3}  # the failed one runs again
    assert (seen.done, seen.n_trials, seen.slots) == (2, 8, 2)
    assert [(row.slot, row.trial, row.step, row.value) for row in seen.rows] == [(0, 4, None, None), (1, 3, 100, -0.2)]
    assert seen.rows[1].speed == pytest.approx(20, rel=0.2)
    assert (seen.best.trial, seen.best.value) == (1, -0.7)
    assert seen.elapsed == pytest.approx(15 + 10 + 5, abs=1)
    assert seen.left == pytest.approx((4 * 10 + 2 * 5) / 2, abs=2)  # one more is still to be created


def test_a_snapshot_is_plain_json(at_work):
    plain = snapshot(at_work).to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["best"]["params"] == {"optimizer.learning_rate": 0.5}
    assert plain["rows"][1]["step"] == 100
    assert plain["done"] == 2


def test_an_empty_study_has_a_snapshot_too(study):
    seen = snapshot(study)
    assert (seen.done, seen.n_trials, seen.rows, seen.best, seen.left) == (0, 0, (), None, None)
    assert "planted" in drawn(render(seen))
    assert json.dumps(seen.to_json(), allow_nan=False)


@pytest.mark.parametrize("width", [80, 140])
def test_what_is_shown_fits_and_is_complete(at_work, width):
    text = drawn(render(snapshot(at_work)), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for part in ("planted", "2/8", "left", "val/log10_rel_error", "-0.2", "2 complete, 2 running, 3 waiting"):
        assert part in text
    assert "best val/log10_rel_error -0.7 by trial 1: learning_rate=0.5" in text


def test_a_free_slot_is_shown_free(at_work):
    at_work.set_user_attr("slots", 3)
    lines = [line.split() for line in drawn(render(snapshot(at_work))).splitlines()]
    assert ["2", "-"] in lines


def test_all_studies_in_one_table(at_work):
    text = drawn(overview([snapshot(at_work)]))
    assert "planted" in text
    assert "2/8" in text
    assert "no studies yet" in drawn(overview([]))


def test_without_a_terminal_each_trial_that_ends_is_one_line(at_work, caplog):
    caplog.set_level(logging.INFO, "sweep")
    console = Console(file=io.StringIO(), width=80)
    with Progress(at_work, console) as progress:
        progress.refresh(snapshot(at_work))
        assert not caplog.records  # what had ended before is not news
        at_work.tell(3, -0.9)
        at_work.add_trial(create_trial(state=TrialState.FAIL, user_attrs={"reason": "crash: SIGKILL\nmore"}))
        progress.refresh()
        progress.refresh()
    first, second = [record.message for record in caplog.records if record.name == "sweep"]
    assert first.startswith("4/8: trial 3 complete -0.9 in 5 s: learning_rate=0.5; best -0.9 by trial 3")
    assert "trial 8 fail" in second
    assert "(crash: SIGKILL)" in second
    assert "more" not in second
    assert console.file.getvalue() == ""


def test_on_a_terminal_there_is_one_live_display_and_logs_go_above_it(at_work, capsys):
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    before = handler.stream
    try:
        with Progress(at_work, console) as progress:
            progress.refresh()
            at_work.tell(3, -0.9)
            progress.refresh()
            logging.getLogger("sweep").warning("a warning")
            assert handler.stream is not before
            at_work.tell(4, -0.1)  # since the last look
        assert handler.stream is before
    finally:
        logging.getLogger().removeHandler(handler)
    shown = console.file.getvalue()
    assert "2/8" in shown
    assert "3/8" in shown
    assert "a warning" in shown
    assert "trial 3 complete" not in shown
    _, _, last = shown.rpartition("\x1b[2K")  # which clears a line of the picture before
    assert "4/8" in last, "what stays is how it stands in the end"
    assert capsys.readouterr().out == ""


def test_speed_is_that_between_the_last_reports(at_work):
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    running = optuna.Trial(at_work, at_work.get_trials(deepcopy=False)[3]._trial_id)
    with Progress(at_work, console) as progress:
        progress.refresh()
        running.report(-0.3, 1_000_000)
        progress.refresh()
        progress.refresh()  # no news: the speed stays
    speeds = [line.split()[4] for line in console.file.getvalue().splitlines() if "1,000,000" in line]
    assert len(set(speeds)) == 1
    assert float(speeds[0]) > 1_000_000  # far more than step / elapsed


@pytest.mark.parametrize(("seconds", "text"), [(4.6, "5 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_times_are_as_people_say_them(seconds, text):
    assert duration(seconds) == text
