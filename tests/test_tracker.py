import dataclasses
import http.client
import json
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from tracking_server import TrackingServer

from sweep.tracking.redacting import RedactingClient
from sweep.tracking.runs import study_run
from sweep.tracking.spool import Event, spools
from sweep.tracking.store import Store, client, open_store
from sweep.tracking.tracker import Tracker, new_spool, take_over


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with TrackingServer(tmp_path_factory.mktemp("server")) as server:
        yield server


def tracker_in(folder, store, kind="run"):
    return Tracker(store, new_spool(folder, store, tags={"sweep.kind": kind}))


def history(store, name="val/rmse"):
    """Every point of a metric of every trial, and every trial's status."""
    api = client(store.uri)
    runs = api.search_runs([store.experiment_id], "tags.`sweep.kind` = 'trial'")
    points = [[(p.step, p.value) for p in api.get_metric_history(r.info.run_id, name)] for r in runs]
    numbers = [int(run.data.tags["sweep.trial"]) for run in runs]
    assert len(set(numbers)) == len(numbers)
    return dict(zip(numbers, points, strict=True)), {n: r.info.status for n, r in zip(numbers, runs, strict=True)}


def test_a_server_killed_in_the_middle_loses_no_point_and_doubles_none(server, tmp_path, caplog):
    caplog.set_level("INFO")
    store = open_store(server.uri, "outage", tmp_path)
    picture = tmp_path / "scatter.png"
    picture.write_bytes(b"a picture")
    tracker = study_run(store, "quick", "id-1", {"n_trials": "4"}).tracker(tmp_path)

    def write(number, steps):
        for step in steps:
            tracker.write(number, "metrics", {"values": {"val/rmse": step / 7}, "step": step})

    for number in (0, 1):
        tracker.begin(number, f"quick {number}", {"a": "1"})
        write(number, range(100))
    assert tracker.flush()
    write(0, range(100, 150))
    server.kill()
    write(1, range(100, 150))
    tracker.write(0, "artifact", {"path": str(picture), "folder": ""})
    tracker.end(0, "COMPLETE", value=0.5)
    for number in (2, 3):
        tracker.begin(number, f"quick {number}", {"a": "1"})
        write(number, range(150))
    tracker.end(2, "FAIL", "exception: it failed", "Traceback")
    assert not tracker.flush(1.5)
    server.start()
    write(3, range(150, 160))
    assert tracker.flush()
    tracker.end(1, "PRUNED", "pruned")
    tracker.end(3, "COMPLETE")
    assert tracker.close() == 0

    points, statuses = history(store)
    assert points == {n: [(s, s / 7) for s in range(160 if n == 3 else 150)] for n in range(4)}
    assert statuses == {0: "FINISHED", 1: "KILLED", 2: "FAILED", 3: "FINISHED"}
    api = client(store.uri)
    (first,) = api.search_runs([store.experiment_id], "tags.`sweep.trial` = '0'")
    assert [file.path for file in api.list_artifacts(first.info.run_id)] == ["scatter.png"]
    assert sum("is away" in record.message for record in caplog.records) == 1
    assert sum("answers again" in record.message for record in caplog.records) == 1


@pytest.fixture
def forgetful(server):
    """The address of a server that does all it is asked, and leaves without an answer the first time for each path."""
    met = set()

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            headers = {"Content-Type": self.headers.get("Content-Type", "application/json")}
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            if self.path not in met:
                met.add(self.path)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(response.status)
            self.send_header("Content-Type", response.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_PATCH = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{proxy.server_port}"
    proxy.shutdown()
    thread.join()
    proxy.server_close()


def test_what_is_done_without_an_answer_is_not_done_twice(server, forgetful, tmp_path):
    store = open_store(server.uri, "forgetful", tmp_path)
    picture = tmp_path / "scatter.png"
    picture.write_bytes(b"a picture")
    tracker = tracker_in(tmp_path, Store(forgetful, store.experiment, store.experiment_id), "trial")
    tracker.begin(0, "a run", {"a": "1"}, {"sweep.trial": "0"})
    for step in range(10):
        tracker.write(0, "metrics", {"values": {"val/rmse": float(step)}, "step": step})
    tracker.write(0, "artifact", {"path": str(picture), "folder": ""})
    tracker.end(0, "FAIL", "a reason", "Traceback", 0.5)
    assert tracker.close() == 0
    points, statuses = history(store)
    assert points == {0: [(step, float(step)) for step in range(10)]}
    assert statuses == {0: "FAILED"}


def test_events_after_the_end_are_said(open_experiment, tmp_path, caplog):
    tracker = tracker_in(tmp_path, open_experiment("closed"))
    assert tracker.close() == 0
    tracker.write(0, "facts", {"a": 1})
    assert "came after the tracker was closed" in caplog.text
    assert tracker.close(0) == 1


def test_the_caller_never_waits(open_experiment, tmp_path):
    tracker = tracker_in(tmp_path, open_experiment("waits"))
    tracker.begin(0, "a run", {})
    for step in range(10_000):
        tracker.write(0, "report", {"value": float(step), "step": step})
    assert not tracker.flush(0)  # the first is not written yet
    tracker.end(0, "COMPLETE")
    assert tracker.close() == 0


KILLED = """
import json, os, signal, sys
from sweep.tracking.runs import StudyRun
from sweep.tracking.spool import Spool
from sweep.tracking.spool import spools
from sweep.tracking.store import Store
from sweep.tracking import tracker as trackers
trackers.GATHER_SECONDS = (30.0, 30.0)  # all that is said until a flush is one lot
settle, left = Spool.settle, int(sys.argv[4])
def settle_or_die(spool):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    settle(spool)
Spool.settle = settle_or_die
tracker = StudyRun(Store(*json.loads(sys.argv[1])), sys.argv[2], "quick", "id-8").tracker(sys.argv[3])
for number in range(2):
    tracker.begin(number, f"quick {number}", {"a": "1"})
    for step in range(10):
        values = {"val/rmse": step / 7, "best/rmse": 1.0 if step < 5 else 0.5}
        tracker.write(number, "metrics", {"values": values, "step": step})
    tracker.write(number, "metrics", {"values": {"best/rmse": 0.25}, "step": 3})
tracker.end(0, "COMPLETE", value=0.5)
tracker.flush()
for number in (0, 1):
    tracker.write(number, "constraint", {"name": "memory", "value": -1.0})
tracker.end(1, "PRUNED", "pruned")
tracker.flush()
"""


@pytest.mark.parametrize("written", [0, 1])
def test_what_was_sent_before_a_kill_and_not_remembered_is_there_once(open_experiment, tmp_path, written):
    """The first lot or the second is sent again, by a process that has to find out what was begun, and how it stood."""
    store = open_experiment(f"sent twice {written}")
    parent = study_run(store, "quick", "id-8", {})
    place = json.dumps([store.uri, store.experiment, store.experiment_id])
    command = [sys.executable, "-c", KILLED, place, parent.run_id, str(tmp_path), str(written)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    points, statuses = history(store)
    assert statuses == {0: "FINISHED", 1: "KILLED" if written else "RUNNING"}, "all of it was sent"
    (path,) = spools(tmp_path)
    tracker = take_over(path)
    assert tracker.waiting == (4 if written else 26)
    assert tracker.close() == (1 if written else 0)  # the constraint came after the end of its trial
    assert history(store) == (points, statuses)
    assert points == {n: [(step, step / 7) for step in range(10)] for n in (0, 1)}
    best, _ = history(store, "best/rmse")
    assert sorted(best[0]) == sorted(best[1]) or not written
    assert sorted(best[0]) == sorted([*((s, 1.0 if s < 5 else 0.5) for s in range(10)), (3, 0.25), (9, 0.25)])
    if written:
        memory, _ = history(store, "constraint/memory")
        assert memory[1] == [(9, -1.0)]
    assert spools(tmp_path) == []


def test_what_a_process_has_not_sent_another_does_and_goes_on_with_it(open_experiment, tmp_path, unused_port):
    store = open_experiment("left")
    nowhere = Store(f"http://127.0.0.1:{unused_port}", store.experiment, store.experiment_id)
    tracker = tracker_in(tmp_path, nowhere)
    tracker.begin(0, "a run", {"a": "1"}, {"sweep.trial": "0"})
    tracker.write(0, "metrics", {"values": {"val/rmse": 0.5}, "step": 7})
    assert tracker.close() == tracker.waiting == 2
    (path,) = spools(tmp_path)
    path.write_text(path.read_text().replace(nowhere.uri, store.uri))
    again = take_over(path)
    again.write(0, "metrics", {"values": {"val/rmse": 0.25}, "step": 8})
    again.end(0, "COMPLETE")
    assert again.close() == 0
    (run,) = client(store.uri).search_runs([store.experiment_id], "tags.`sweep.kind` = 'run'")
    assert run.info.status == "FINISHED"
    assert [p.step for p in client(store.uri).get_metric_history(run.info.run_id, "val/rmse")] == [7, 8]
    assert take_over(path) is None


def test_a_disk_that_is_full_is_said_once_and_costs_events_alone(open_experiment, tmp_path, monkeypatch, caplog):
    tracker = tracker_in(tmp_path, open_experiment("full"))
    tracker.begin(0, "a run", {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (tracker.path.stat().st_size, hard))
    try:
        for step in range(3):
            tracker.write(0, "metrics", {"values": {"a": 1.0}, "step": step})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    tracker.end(0, "COMPLETE")
    assert tracker.close() == tracker.lost == 3
    assert caplog.text.count("cannot be kept") == 1
    assert "3 events are not in MLflow" in caplog.text


def test_a_study_that_goes_on_writes_what_it_said_before_in_order(open_experiment, tmp_path, unused_port):
    store = open_experiment("page")
    parent = study_run(store, "quick", "id-9", {})
    nowhere = dataclasses.replace(parent, store=dataclasses.replace(store, uri=f"http://127.0.0.1:{unused_port}"))
    page = nowhere.page(tmp_path)
    page.begin()
    page.metrics({"trials/done": 1}, 1)
    page.metrics({"trials/done": 2}, 2)
    page.describe("before")
    page.end("KILLED")
    assert not page.catch_up()
    assert page.away == f"http://127.0.0.1:{unused_port} (Connection refused)"
    assert page.close() == page.waiting == 6
    (path,) = spools(tmp_path)
    path.write_text(path.read_text().replace(nowhere.store.uri, store.uri))

    again = parent.page(tmp_path)
    assert again.step == 2
    again.begin()
    again.metrics({"trials/done": 3}, 3)
    assert again.catch_up()
    api = client(store.uri)
    run = api.get_run(parent.run_id)
    assert run.info.status == "RUNNING"
    assert run.data.tags["mlflow.note.content"] == "before"
    again.end("FINISHED")
    assert again.close() == 0
    assert api.get_run(parent.run_id).info.status == "FINISHED"
    assert [p.step for p in api.get_metric_history(parent.run_id, "trials/done")] == [1, 2, 3]
    assert list(tmp_path.iterdir()) == []


def test_a_page_is_written_by_two_processes_at_once(open_experiment, tmp_path):
    """As when a report is attached while the study runs."""
    store = open_experiment("two")
    parent = study_run(store, "quick", "id-10", {})
    page, other = parent.page(tmp_path), parent.page(tmp_path)
    page.metrics({"trials/done": 1}, 1)
    other.attach(__file__, "report")
    assert (other.close(), page.close()) == (0, 0)
    assert [f.path for f in client(store.uri).list_artifacts(parent.run_id)] == ["report"]


def test_what_json_has_no_word_for_is_lost_alone(open_experiment, tmp_path, caplog):
    tracker = tracker_in(tmp_path, open_experiment("wordless"))
    tracker.begin(0, "a run", {})
    tracker.write(0, "artifact", {"path": __file__, "folder": tmp_path})
    tracker.write(0, "metrics", {"values": {"a": 1.0}, "step": 1})
    tracker.end(0, "COMPLETE")
    assert tracker.close() == tracker.lost == 1
    assert "The artifact event of trial 0 cannot be kept and is lost: Object of type PosixPath" in caplog.text


def test_a_store_that_can_only_be_read_is_waited_for(open_experiment, tmp_path, monkeypatch):
    """As with a full disk, or a database after a failover: far longer than a single call would be tried again."""
    store = open_experiment("readable")
    refused = Counter()

    def refuse(name):
        call = getattr(RedactingClient, name)

        def refusing(*args, **kwargs):
            refused[name] += 1
            if refused["log_batch"] < 20:
                raise MlflowException("no space", TEMPORARILY_UNAVAILABLE)
            return call(*args, **kwargs)

        monkeypatch.setattr(RedactingClient, name, refusing)

    monkeypatch.setattr("sweep.tracking.tracker._BACK_OFF", (0.01, 0.01))
    refuse("log_batch")
    refuse("set_experiment_tag")
    tracker = tracker_in(tmp_path, store, "trial")
    tracker.begin(0, "a run", {}, {"sweep.trial": "0"})
    tracker.write(0, "metrics", {"values": {"val/rmse": 1.0}, "step": 1})
    tracker.flush()
    tracker.end(0, "COMPLETE")
    assert tracker.close() == 0
    assert refused["log_batch"] >= 20
    assert history(store) == ({0: [(1, 1.0)]}, {0: "FINISHED"})


def test_files_that_cannot_be_kept_leave_the_rest_as_it_was(open_experiment, tmp_path, monkeypatch, caplog):
    """As with S3 and no credentials: the run is closed all the same."""
    store = open_experiment("no artifacts")

    def fail(*_, **__):
        raise RuntimeError("no credentials")

    monkeypatch.setattr(RedactingClient, "log_text", fail)
    tracker = tracker_in(tmp_path, store, "trial")
    tracker.begin(0, "a run", {}, {"sweep.trial": "0"})
    tracker.end(0, "FAIL", "a reason", "Traceback")
    assert tracker.close() == 1
    assert history(store, "none") == ({0: []}, {0: "FAILED"})
    assert "MLflow refused the leavings event of trial 0: no credentials" in caplog.text


def test_what_is_tried_again_says_the_same_again(open_experiment, tmp_path, monkeypatch):
    """A constraint has the step that the trial was at, also if the metrics after it were sent before."""
    store = open_experiment("again")
    log_batch, calls = RedactingClient.log_batch, []

    def forget(*args, **kwargs):
        log_batch(*args, **kwargs)
        calls.append(args)
        if len(calls) == 1:
            raise MlflowException("the answer was lost", TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(RedactingClient, "log_batch", forget)
    tracker = tracker_in(tmp_path, store, "trial")
    tracker.begin(0, "a run", {}, {"sweep.trial": "0"})
    tracker.write(0, "metrics", {"values": {"val/rmse": 2.0}, "step": 10})
    tracker.write(0, "constraint", {"name": "memory", "value": -1.0})
    tracker.write(0, "metrics", {"values": {"val/rmse": 1.0}, "step": 20})
    tracker.end(0, "COMPLETE")
    assert tracker.close() == 0
    assert len(calls) > 1
    assert history(store, "constraint/memory")[0] == {0: [(10, -1.0)]}


def test_a_page_goes_on_with_a_spool_that_was_only_begun(open_experiment, tmp_path):
    """As after a kill between the file's making and its first event."""
    store = open_experiment("begun")
    parent = study_run(store, "quick", "id-11", {})
    spool = new_spool(tmp_path, store, tags={"sweep.kind": "study", "sweep.run_id": parent.run_id})
    spool.append(Event(0, 0, "tags", {}))
    spool.close()
    spool.path.write_bytes(b"".join(spool.path.read_bytes().splitlines(keepends=True)[:2]))
    again = parent.page(tmp_path)
    again.metrics({"trials/done": 1}, 1)
    assert again.close() == again.lost == 0
    assert [p.step for p in client(store.uri).get_metric_history(parent.run_id, "trials/done")] == [1]


def test_a_store_that_the_study_has_left_holds_nothing_up(open_experiment, tmp_path, unused_port):
    store = open_experiment("moved")
    parent = study_run(store, "quick", "id-12", {})
    nowhere = dataclasses.replace(parent, store=dataclasses.replace(store, uri=f"http://127.0.0.1:{unused_port}"))
    left = nowhere.tracker(tmp_path)
    left.begin(0, "quick 0", {})
    assert left.close(0) == 1
    page = parent.page(tmp_path)
    page.metrics({"trials/done": 1}, 1)
    assert page.catch_up()
    assert (page.waiting, len(spools(tmp_path))) == (1, 2)
    page.close()
