"""A real MLflow server for tests, which can be killed and started again, and what is in its database."""

import contextlib
import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sweep.tracking.store import server_command, server_environment


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Run:
    """A run of a study.

    Attributes:
        trial: the number of its trial; None for the study's own run.
        status: MLflow's.
        points: how often each point, by its step and value, is in the database, by metric.
    """

    trial: int | None
    status: str
    points: Mapping[str, Counter[tuple[int, float]]]


class TrackingServer:
    """A server on loopback, in a folder of its own, which is made if it is not there; started by a `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        database = f"sqlite:///{self.folder}/mlflow.db"
        command = server_command(database, self.folder / "artifacts", self.port)
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command,
                env=server_environment(database),
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kills it and its workers with SIGKILL."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def runs(self, study_id: str) -> list[Run]:
        """All runs of a study, as they are in the database."""
        query = """
            select runs.run_uuid, status, trials.value from runs
            join tags on tags.run_uuid = runs.run_uuid and tags.key = 'sweep.study_id' and tags.value = ?
            left join tags as trials on trials.run_uuid = runs.run_uuid and trials.key = 'sweep.trial'
        """
        found = []
        for run, status, number in self._ask(query, study_id):
            points: dict[str, Counter[tuple[int, float]]] = {}
            for key, step, value in self._ask("select key, step, value from metrics where run_uuid = ?", run):
                points.setdefault(key, Counter())[step, value] += 1
            found.append(Run(None if number is None else int(number), status, points))
        return found

    def _ask(self, query: str, parameter: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db")) as connection:
            return connection.execute(query, (parameter,)).fetchall()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
