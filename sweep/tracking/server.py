"""`sweep ui`: MLflow's own server on this project's stores, for this machine alone."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable

from sweep.engine.errors import UserError
from sweep.paths import Paths
from sweep.tracking.store import check_there, server_command, server_environment, shown

HOST = "127.0.0.1"
_TRAINING = "?workflowType=machine_learning"
"""Opens the UI for training runs: without it, MLflow shows what is there for language models."""

START_SECONDS = 60.0
"""How long the server may take until it answers."""

_RESERVED = 1023
"""Up to this one, ports are for the administrator of a machine alone."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks this machine itself: a proxy, which the environment may name, would ask its own."""


def serve(paths: Paths, uri: str, port: int, page: str, say: Callable[[str], None]) -> int:
    """Serves the UI until Ctrl-C, or until the server ends; returns its exit status.

    Args:
        paths: the project's stores.
        uri: MLflow's store, the project's own or another. One behind a server that runs already is only told.
        port: where to listen, on the loopback interface only.
        page: the part of the address after `#` that is announced, such as the newest study's run.
        say: takes what the user is told.

    Raises:
        UserError: if the store is gone, the port cannot be had, or the server does not start.
    """
    anchor = f"#{page or '/experiments'}{_TRAINING}"
    if uri.startswith(("http://", "https://")):
        say(f"MLflow: {shown(uri).rstrip('/')}/{anchor}  (a server that runs elsewhere)")
        return 0
    check_there(uri)
    check_port(port)
    command = server_command(uri, paths.artifacts, port)
    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)  # however this process is ended, the server ends with it
    paths.mlruns.mkdir(parents=True, exist_ok=True)  # the store may be elsewhere
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
    """Raises UserError if a port of this machine is in use, or this user may not have it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            why = ", which is in use" if error.errno == errno.EADDRINUSE else f" ({error.strerror})"
            allowed = f"a free port, as in --port {max(port, _RESERVED) + 1}"
            raise UserError("--port", f"{port}{why}", allowed) from error


def _answers(process: subprocess.Popen[bytes], address: str) -> bool:
    """Waits until the server answers; False if it ended, or took too long."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), _direct.open(address + "health", timeout=2):
            return True
        time.sleep(0.2)
    return False
