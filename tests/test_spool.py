"""Events on disk: in order, each once, whoever is killed, and gone when they are written."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sweep.tracking import spool as spools_module
from sweep.tracking.spool import Event, Spool, look, spools, waiting

WHOSE = {"store": {"uri": "sqlite:////x/mlflow.db"}, "tags": {"sweep.study": "s"}}


def event(step: int, **payload: Any) -> Event:
    return Event(1000 + step, step % 3, "metrics", {"values": {"a": step / 7}, "step": step, **payload})


def filled(folder: Path, count: int) -> Spool:
    spool = Spool(folder, WHOSE)
    for step in range(count):
        spool.append(event(step))
    return spool


def steps(events: Any) -> list[int]:
    return [event.payload["step"] for event in events]


def drain(spool: Spool) -> list[Event]:
    """Everything that waits, settled as it is read."""
    found: list[Event] = []
    while events := spool.read():
        found += events
        spool.settle()
    return found


def taken(path: Path) -> Spool:
    spool = Spool.take(path)
    assert spool is not None
    return spool


def test_events_come_back_as_they_were_and_in_order(tmp_path: Path) -> None:
    said = [
        Event(1, 0, "begin", {"name": "s 0", "params": {"α": "ü\n"}, "tags": {}, "folder": None, "key": "k"}),
        Event(2, 0, "metrics", {"values": {"a": math.nan, "b": -math.inf, "c": 1e-300, "d": 0.1}, "step": 3}),
        Event(3, 0, "end", {"state": "FAIL", "reason": "", "traceback": "line\r\n\u2028line", "values": [1.5]}),
    ]
    spool = Spool(tmp_path, WHOSE)
    assert list(tmp_path.iterdir()) == []  # nothing is made before there is an event
    for each in said:
        spool.append(each)
    assert repr(spool.read()) == repr(said)
    assert spool.waiting == 3


def test_what_is_read_stays_until_it_is_settled_and_the_file_until_all_is(tmp_path: Path) -> None:
    spool = filled(tmp_path, 5)
    assert steps(spool.read()) == steps(spool.read()) == [0, 1, 2, 3, 4]
    spool.append(event(5))
    spool.settle()
    assert spool.waiting == 1
    assert steps(spool.read()) == [5]
    assert steps(spool.settled()) == [0, 1, 2, 3, 4]
    spool.close()
    assert spools(tmp_path) == [spool.path]
    again = taken(spool.path)
    assert (again.waiting, again.whose, again.was_left) == (1, WHOSE, True)
    assert steps(drain(again)) == [5]
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_a_spool_belongs_to_one_process_until_it_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from sweep.tracking.spool import Event, Spool; spool = Spool(sys.argv[1], {'tags': {}})\n"
        "for step in range(3): spool.append(Event(step, 0, 'metrics', {'step': step}))\n"
        "spool.read(); print('there', flush=True); input()"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], **pipes) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "there\n"
        (path,) = spools(tmp_path)
        assert Spool.take(path) is None
        assert waiting(tmp_path) == 3  # which can be seen all the same
        owner.send_signal(signal.SIGKILL)
    spool = taken(path)
    assert Spool.take(path) is None
    assert steps(drain(spool)) == [0, 1, 2]
    spool.close()
    assert Spool.take(path) is None  # it is gone
    assert waiting(tmp_path) == 0


@pytest.mark.parametrize("torn", [b'[17,1,"met', b"\0" * 5000])
def test_an_unterminated_last_line_is_cut(tmp_path: Path, torn: bytes) -> None:
    spool = filled(tmp_path, 3)
    spool.close()
    with spool.path.open("ab") as file:
        file.write(torn)
    again = taken(spool.path)
    again.append(event(3))
    assert steps(drain(again)) == [0, 1, 2, 3]
    assert again.unreadable == 0


def test_a_line_that_is_no_event_is_counted_and_holds_nothing_up(tmp_path: Path) -> None:
    spool = filled(tmp_path, 2)
    spool.close()
    with spool.path.open("ab") as file:
        file.write(b"\0\0\0\n[1]\n" + event(2).line())
    again = taken(spool.path)
    assert again.waiting == 5
    assert steps(drain(again)) == [0, 1, 2]
    assert (again.waiting, again.unreadable) == (0, 2)


@pytest.mark.parametrize("content", [b"", b"{", b'{"settled": 0}\n', b'{"settled": 0}\n{"tags"'])
def test_a_file_that_does_not_say_whose_it_is_is_nobodys(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tracking.0.jsonl"
    path.write_bytes(content)
    assert Spool.take(path) is None
    assert look(path) is None
    assert waiting(tmp_path) == 0


def test_any_number_of_events_takes_little_memory_and_order_is_kept_across_chunks(tmp_path: Path) -> None:
    spool = Spool(tmp_path, WHOSE)
    sizes = [10, 3_000_000, 10, 700_000, 700_000, 10]
    for step, size in enumerate(sizes):
        spool.append(event(step, text="x" * size))
    read = []
    while events := spool.read():
        read.append(steps(events))
        spool.settle()
    assert [step for each in read for step in each] == list(range(len(sizes)))
    assert len(read) > 2


def test_one_thread_appends_while_another_reads(tmp_path: Path) -> None:
    spool = filled(tmp_path, 1)
    writer = threading.Thread(target=lambda: [spool.append(event(step)) for step in range(1, 20_000)])
    writer.start()
    found: list[Event] = []
    while writer.is_alive() or spool.waiting:
        found += drain(spool)
    writer.join()
    assert steps(found) == list(range(20_000))
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_spool_of_which_all_is_written_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spools_module, "LARGE", 10_000)
    spool = filled(tmp_path, 200)
    carried = Event(0, 1, "open", {"run_id": "r", "step": 7})
    spool.renew([carried])
    assert spool.path.stat().st_size > 10_000  # something waits
    drain(spool)
    spool.renew([carried])
    assert spool.path.stat().st_size < 1000
    assert spool.waiting == 0
    spool.append(event(200))
    os.close(spool._file)  # as if it were killed
    again = taken(spool.path)
    assert list(again.settled()) == [carried]
    assert steps(drain(again)) == [200]


@pytest.mark.parametrize("written", [0, 1])
def test_a_kill_while_it_is_renewed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """After the truncation the file says that more is settled than there is; then, that what is carried waits."""
    monkeypatch.setattr(spools_module, "LARGE", 10_000)
    spool = filled(tmp_path, 200)
    drain(spool)
    marks = iter([1] * written)
    monkeypatch.setattr(spool, "_remember", lambda: next(marks))
    with pytest.raises(StopIteration):
        spool.renew([Event(0, 1, "open", {"step": 7})])
    os.close(spool._file)
    assert look(spool.path) is not None
    again = taken(spool.path)
    assert steps(again.settled()) == ([7] if written else [])
    assert again.waiting == 0


def test_a_full_disk_costs_events_and_nothing_else(tmp_path: Path) -> None:
    spool = filled(tmp_path, 3)
    size = spool.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            spool.append(event(3))
        with pytest.raises(OSError, match="too large"):
            Spool(tmp_path, {"tags": "x" * size}).append(event(3))
        assert spools(tmp_path) == [spool.path]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spool.path.stat().st_size == size
    spool.append(event(4))
    assert steps(drain(spool)) == [0, 1, 2, 4]


def test_it_can_be_seen_what_waits_and_since_when(tmp_path: Path) -> None:
    study, sibling = filled(tmp_path, 4), filled(tmp_path / "baselines", 2)
    assert spools(tmp_path) == sorted([study.path, sibling.path])
    assert waiting(tmp_path) == 6
    study.read()
    study.settle()
    study.append(event(9))
    seen = look(study.path)
    assert seen is not None
    assert (seen.whose, seen.waiting, seen.since) == (WHOSE, 1, 1009)
    drain(study)
    empty = look(study.path)
    assert empty is not None
    assert (empty.waiting, empty.since) == (0, None)
    assert waiting(tmp_path) == 2


def test_the_file_is_lines_of_json(tmp_path: Path) -> None:
    spool = filled(tmp_path, 2)
    mark, whose, first, _ = [json.loads(line) for line in spool.path.read_text().splitlines()]
    assert (list(mark), whose, first) == (["settled"], WHOSE, [1000, 0, "metrics", {"values": {"a": 0.0}, "step": 0}])
