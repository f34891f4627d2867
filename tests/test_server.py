"""`sweep ui`: a real server, looked at with a real browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sweep.engine.identity import Identity, create_or_resume
from sweep.engine.storage import open_storage
from sweep.paths import Paths
from sweep.tracking.runs import study_run
from sweep.tracking.store import open_store

CHROMIUM = shutil.which("chromium")


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
    if CHROMIUM is None:
        if os.environ.get("SWEEP_REQUIRE_SERVICES"):
            pytest.fail("chromium is not installed, and SWEEP_REQUIRE_SERVICES wants it")
        pytest.skip("chromium is not installed")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --virtual-time-budget=30000 --dump-dom"
    with subprocess.Popen(
        [CHROMIUM, *options.split(), *quiet.split(), server.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as browser:
        try:
            page, _ = browser.communicate(timeout=120)
        finally:
            if browser.poll() is None:
                os.killpg(browser.pid, signal.SIGKILL)
    assert "What this study found" in page
    assert "sweep.study" in page


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
