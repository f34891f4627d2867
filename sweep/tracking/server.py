"""MLflow's UI of a project's own store."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from sweep.engine.errors import UserError
from sweep.tracking.store import open_store, server_command, server_environment

if TYPE_CHECKING:
    from sweep.paths import Paths

START_SECONDS = 60.0
"""How long a server may take until it answers."""

STOP_SECONDS = 10.0
"""How long a server may take to stop."""


def serve(paths: Paths, port: int) -> None:
    """Serves the UI on this machine until Ctrl-C.

    Raises:
        UserError: if the port is taken, the store cannot be opened, or the server does not start.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError("--port", f"{port}, which is in use", "a free port") from error
    uri = f"sqlite:///{paths.database}"
    store = open_store(uri, "sweep", paths.artifacts)
    server = subprocess.Popen(server_command(uri, paths.artifacts, port), env=server_environment())
    try:
        _wait_for(server, port)
        sys.stdout.write(f"\nhttp://127.0.0.1:{port}/#/experiments/{store.experiment_id}  (Ctrl-C ends it)\n\n")
        sys.stdout.flush()
        server.wait()
    except KeyboardInterrupt:
        pass  # the terminal sent it to the server too
    finally:
        stop(server)


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stops a server and waits for its end."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UserError("sweep ui", f"a server that ended with status {server.returncode}", "see its message above")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise UserError("sweep ui", f"a server that did not answer in {START_SECONDS:.0f} s", "another --port")
