"""`sweep ui --optuna`: optuna-dashboard on a study's own storage, for this machine alone."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import signal
from collections.abc import Callable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sweep.engine.errors import UserError
from sweep.results.catalogue import Entry
from sweep.tracking.server import HOST, check_port

log = logging.getLogger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    """Answers while another answer is being made: the page asks for many things at once."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Requests are no news."""

    def log_message(self, format: str, *args: object) -> None:
        log.debug(format, *args)


def serve(entry: Entry, port: int, say: Callable[[str], None]) -> None:
    """Serves the dashboard of a study until Ctrl-C.

    Args:
        entry: the study; the other studies of its storage are there, too.
        port: where to listen, on the loopback interface only.
        say: takes what the user is told.

    Raises:
        UserError: if optuna-dashboard is not installed, the study has not begun, or the port is taken.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise UserError("--optuna", "no optuna-dashboard here", "pip install 'sweep[dashboard]'")
    study = entry.load()
    check_port(port)
    from optuna_dashboard import wsgi

    for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(end, signal.default_int_handler)
    with (
        make_server(HOST, port, wsgi(entry.storage()), _Server, _Quiet) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        say(f"optuna-dashboard: http://{HOST}:{port}/dashboard/studies/{study._study_id}  (Ctrl-C ends it)")
        server.serve_forever()
