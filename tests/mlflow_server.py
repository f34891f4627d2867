"""An MLflow server, for tests that talk to one."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from sweep.tracking.store import server_command, server_environment


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """Serves the stores of a folder, which are made if they are not there; gives the server's address."""
    folder.mkdir(exist_ok=True)
    database = f"sqlite:///{folder}/mlflow.db"
    command = server_command(database, folder / "artifacts", port)
    with (folder / "log").open("w") as log:
        environment = server_environment(database)
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    try:
        while not _answers(f"{uri}/health"):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield uri
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
