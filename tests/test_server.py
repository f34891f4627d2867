"""`sweep ui`: a real server, looked at with a real browser."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import psutil
import pytest
from browser import browser
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from sweep.engine.errors import UserError
from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.storage import open_storage
from sweep.engine.study import load_study
from sweep.paths import Paths
from sweep.tracking.runs import study_run
from sweep.tracking.server import check_port
from sweep.tracking.store import open_store


@dataclass
class Server:
    process: "subprocess.Popen[str]"
    port: int
    address: str


@pytest.fixture
def server(tmp_path: Path, unused_port: int) -> Iterator[Server]:
    paths = Paths(tmp_path)
    store = open_store(f"sqlite:///{paths.database}", "sweep", paths.artifacts)
    study = create_or_resume(
        open_storage(None, paths.study("seen")), "seen", Identity({}, {"x": "1,2"}, {}, ["minimize"]), 0
    )
    run = study_run(store, "seen", study.user_attrs["id"], {"space/x": "1,2"})
    page = run.page(tmp_path)
    page.describe("What this study found")
    page.end("FINISHED")
    assert page.close() == 0
    study.set_user_attr("tracking_uri", store.uri)
    study.set_user_attr("page", f"/experiments/{store.experiment_id}/runs/{run.run_id}")
    process = subprocess.Popen(
        [sys.executable, "-m", "sweep", "ui", "--port", str(unused_port)],
        env={**os.environ, "SWEEP_ROOT": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield Server(process, unused_port, line.split()[1])
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def test_the_newest_study_is_announced_and_its_page_opens(server: Server) -> None:
    assert server.address.startswith(f"http://127.0.0.1:{server.port}/#/experiments/")
    assert server.address.endswith("?workflowType=machine_learning")
    with browser() as opened:
        opened.open(server.address, "What this study found", "Model registry")


def test_it_ends_with_its_workers_and_a_busy_port_is_refused(server: Server, tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "sweep", "ui", "--port", str(server.port)],
        env={**os.environ, "SWEEP_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 2
    assert "in use" in second.stderr
    workers = psutil.Process(server.process.pid).children(recursive=True)
    assert workers
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", server.port)) != 0


def start(root: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "sweep", "ui", *arguments],
        env={**os.environ, "SWEEP_ROOT": str(root), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused(root: Path, *arguments: str) -> str:
    """What the command says that is refused."""
    process = start(root, *arguments)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert "Traceback" not in errors
    return errors


def open_study(root: Path, name: str) -> optuna.Study:
    return load_study(open_storage(None, Paths(root).study(name)), name)


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A root with two studies, of which the older is tracked by a server elsewhere."""
    for name in ("older", "newer"):
        storage = open_storage(None, Paths(tmp_path).study(name))
        made = create_or_resume(storage, name, Identity({}, {"x": "1,2"}, {}, ["minimize"]), 0)
        made.add_trial(create_trial(params={"x": 1.0}, distributions={"x": FloatDistribution(0, 2)}, value=0.25))
        if name == "older":
            made.set_user_attr("tracking_uri", "https://tracking.example")
            made.set_user_attr("page", "/experiments/7/runs/8")
    return tmp_path


def test_optuna_dashboard_shows_the_newest_study_or_the_one_that_is_named(begun: Path, unused_port: int) -> None:
    for study, shown in ((), "newer"), (("older",), "older"):
        process = start(begun, *study, "--optuna", "--port", str(unused_port))
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[1]
            assert address.startswith(f"http://127.0.0.1:{unused_port}/dashboard/")
            assert f"{unused_port}, which is in use" in refused(begun, "--optuna", "--port", str(unused_port))
            with browser() as opened:
                opened.open(address, f"{shown} (id=", "History")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()


def test_a_study_whose_stores_are_elsewhere_is_shown_past_any_proxy(tmp_path: Path, unused_port: int) -> None:
    store = open_store(f"sqlite:///{tmp_path}/theirs/mlflow.db", "sweep", tmp_path / "theirs/artifacts")
    storage = f"journal://{tmp_path}/theirs/study.journal"
    made = create_or_resume(open_storage(storage, ""), "theirs", Identity({}, {"x": "1,2"}, {}, ["minimize"]), 0)
    made.set_user_attr("tracking_uri", store.uri)
    made.set_user_attr("page", f"/experiments/{store.experiment_id}/runs/1")
    with socket.socket() as proxy:  # it takes what is asked of it, and never answers
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        through = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        words = ("theirs", "--storage", storage, "--port", str(unused_port))
        process = start(tmp_path / "none", *words, http_proxy=through, no_proxy="", NO_PROXY="")
        try:
            assert process.stdout is not None
            address = f"http://127.0.0.1:{unused_port}/#/experiments/{store.experiment_id}/runs/1"
            assert address in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.communicate()


def test_a_store_that_is_gone_is_not_made_anew(begun: Path) -> None:
    gone = begun / "gone/mlflow.db"
    open_study(begun, "newer").set_user_attr("tracking_uri", f"sqlite:///{gone}")
    assert f"{gone}, which is gone" in refused(begun, "newer")
    assert not gone.parent.exists()


@pytest.mark.parametrize("study", [("older",), ()])
def test_a_study_that_a_server_elsewhere_has_is_told(begun: Path, study: tuple[str, ...]) -> None:
    Paths(begun).database.touch()  # single runs, say
    open_study(begun, "newer").set_user_attr("tracking_uri", f"sqlite:///{begun}/gone.db")
    process = start(begun, *study)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "https://tracking.example/#/experiments/7/runs/8?workflowType=machine_learning" in output


def test_a_port_that_this_user_may_not_have_is_not_said_to_be_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(UserError, match=r"--port: got 80 \(Permission denied\), allowed is .* --port 1024"):
        check_port(80)


def test_what_cannot_be_shown_is_said(begun: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert "'newer', which is not tracked in MLflow" in refused(begun, "newer")
    assert "newer, older" in refused(begun, "none") or "older, newer" in refused(begun, "none")
    empty = tmp_path_factory.mktemp("empty")
    assert "no runs in" in refused(empty)
    assert "none in" in refused(empty, "--optuna")
    assert list(empty.iterdir()) == []
