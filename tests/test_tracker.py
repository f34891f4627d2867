import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sweep.tracking.runs import study_run
from sweep.tracking.store import Store, client, open_store, server_command, server_environment
from sweep.tracking.tracker import Tracker


class Server:
    """An MLflow server on loopback that can be killed and started again."""

    def __init__(self, folder, port):
        self.folder, self.port = folder, port
        self.uri = f"http://127.0.0.1:{port}"
        self.process = None

    def start(self):
        uri = f"sqlite:///{self.folder}/mlflow.db"
        command = server_command(uri, self.folder / "artifacts", self.port)
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=server_environment(uri), stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def kill(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(tmp_path_factory.mktemp("server"), port)
    server.start()
    yield server
    server.kill()


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
    tracker = study_run(store, "quick", "id-1", {"n_trials": "4"}).tracker()

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
    tracker = Tracker(Store(forgetful, store.experiment, store.experiment_id), tags={"sweep.kind": "trial"})
    tracker.begin(0, "a run", {"a": "1"}, {"sweep.trial": "0"})
    for step in range(10):
        tracker.write(0, "metrics", {"values": {"val/rmse": float(step)}, "step": step})
    tracker.write(0, "artifact", {"path": str(picture), "folder": ""})
    tracker.end(0, "FAIL", "a reason", "Traceback", 0.5)
    assert tracker.close() == 0
    points, statuses = history(store)
    assert points == {0: [(step, float(step)) for step in range(10)]}
    assert statuses == {0: "FAILED"}


def test_events_after_the_end_are_said(open_experiment, caplog):
    tracker = Tracker(open_experiment("closed"))
    assert tracker.close() == 0
    tracker.write(0, "facts", {"a": 1})
    assert "came after the tracker was closed" in caplog.text
    assert tracker.close(0) == 1


def test_the_caller_never_waits(open_experiment):
    tracker = Tracker(open_experiment("waits"), tags={"sweep.kind": "run"})
    tracker.begin(0, "a run", {})
    for step in range(10_000):
        tracker.write(0, "report", {"value": float(step), "step": step})
    assert not tracker.flush(0)  # the first is not written yet
    tracker.end(0, "COMPLETE")
    assert tracker.close() == 0
