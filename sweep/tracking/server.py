"""`sweep ui`: MLflow's own server on this project's stores, for this machine alone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from sweep.engine.errors import UserError
from sweep.paths import Paths
from sweep.tracking.store import server_command, server_environment, shown

HOST = "127.0.0.1"
_TRAINING = "?workflowType=machine_learning"
"""Opens the UI for training runs: without it, MLflow shows what is there for language models."""

START_SECONDS = 60.0
"""How long the server may take until it answers."""


def serve(paths: Paths, uri: str, port: int, page: str, say: Callable[[str], None]) -> int:
    """Serves the UI until Ctrl-C, or until the server ends; returns its exit status.

    Args:
        paths: the project's stores.
        uri: MLflow's store, the project's own or another. One behind a server that runs already is only told.
        port: where to listen, on the loopback interface only.
        page: the part of the address after `#` that is announced, such as the newest study's run.
        say: takes what the user is told.

    Raises:
        UserError: if there is nothing to show yet, or the port is taken.
    """
    anchor = f"#{page or '/experiments'}{_TRAINING}"
    if uri.startswith(("http://", "https://")):
        say(f"MLflow: {shown(uri).rstrip('/')}/{anchor}  (a server that runs elsewhere)")
        return 0
    if uri == f"sqlite:///{paths.database}" and not paths.database.exists():
        raise UserError("sweep ui", f"no runs in {paths.mlruns}", "a project with runs: `sweep run` makes one")
    check_port(port)
    command = server_command(uri, paths.artifacts, port)
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)  # however this process is ended, the server ends with it
    log = paths.mlruns / "ui.log"
    with log.open("wb") as output:
        # Its own session: MLflow starts workers, which have to end with it.
        process = subprocess.Popen(
            command, env=dict(server_environment(uri)), start_new_session=True, stdout=output, stderr=subprocess.STDOUT
        )
    address = f"http://{HOST}:{port}/"
    try:
        if not _answers(process, address):
            raise UserError("sweep ui", f"a server that did not start (see {log})", "one that answers")
        say(f"MLflow: {address}{anchor}  (Ctrl-C ends it)")
        return process.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def check_port(port: int) -> None:
    """Raises UserError if something listens on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError("--port", f"{port}, which is in use", f"a free port, as in --port {port + 1}") from error


def _answers(process: subprocess.Popen[bytes], address: str) -> bool:
    """Waits until the server answers; False if it ended, or took too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address + "health", timeout=2):
            return True
        time.sleep(0.2)
    return False
