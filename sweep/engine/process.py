"""A disposable child process that runs one trial after another, and may die without harm.

The agent's side is `TrialProcess`; the child's is `main`. They talk over one socket pair: the agent sends trials and
answers, the child sends events and one outcome per trial. The child opens no store. It has its own session, so that a
terminal's Ctrl-C does not reach it, and it leaves when the pipe closes, whatever its task is doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cloudpickle

from sweep.engine.outcome import Outcome, raised, returned
from sweep.engine.outputs import redacted_outputs
from sweep.engine.trial import Trial, running

END_SECONDS = 5.0
"""How long a child that was told to leave may take before it is killed."""

_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from sweep.engine.process import main; main()"


@dataclass(frozen=True)
class Job:
    """What the child needs in order to run a trial, beyond what it got at its start.

    Attributes:
        number: the trial's number.
        config: the composed configuration, Hydra's node included.
        objectives: how many numbers the task is to return.
        console: the file that takes what the trial prints.
        earlier: output folders of earlier attempts at the same trial, the latest first.
        final: whether the trial is the last word on its configuration.
    """

    number: int
    config: Any
    objectives: int
    console: str
    earlier: tuple[str, ...] = ()
    final: bool = False


class TrialProcess:
    """The agent's side of one child.

    Args:
        setup: the pickled task, hydra context and state of Hydra's singletons (see `pack`).
        env: variables that must be there before the child imports anything, such as numbers of threads.
        cores: the cores that the child may use, or None for all.
    """

    def __init__(self, setup: bytes, env: Mapping[str, str], cores: frozenset[int] | None) -> None:
        mine, theirs = socket.socketpair()
        with mine, theirs:
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _BOOT,
                    json.dumps([path or str(Path.cwd()) for path in sys.path]),
                    str(theirs.fileno()),
                ],
                env={**os.environ, **env},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            self.connection = Connection(mine.detach())
        try:
            if cores is not None:
                os.sched_setaffinity(self._popen.pid, cores)
            self.connection.send_bytes(setup)
        except OSError:
            self.end()
            raise

    def run(self, job: Job) -> None:
        """Starts a trial. Raises OSError if the child is gone."""
        self.connection.send_bytes(cloudpickle.dumps(job))

    def answer(self, stop: bool) -> None:
        """Answers a report: whether the trial should stop. Raises OSError if the child is gone."""
        self.connection.send_bytes(cloudpickle.dumps(stop))

    @property
    def pid(self) -> int:
        """The child's process id, which is that of its session too."""
        return self._popen.pid

    def end(self) -> int | None:
        """Ends the child, by closing its pipe and, if that does not do it, by SIGKILL; returns its exit status."""
        self.connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(END_SECONDS)
        return self.kill()

    def kill(self) -> int | None:
        """Ends the child and what it has started, at once; returns its exit status, as `subprocess` has it."""
        self.connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()


def pack(task: Any, hydra_context: Any) -> bytes:
    """Pickles what every trial of an agent shares, for `TrialProcess`."""
    from hydra.core.singleton import Singleton

    return bytes(cloudpickle.dumps((task, hydra_context, Singleton.get_state())))


@redacted_outputs(streams=True)
def main() -> None:
    """The child: waits for trials, runs them, leaves when its agent does."""
    connection = Connection(int(sys.argv[2]))
    sys.argv = ["trial"]
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    setup = connection.recv_bytes()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()

    import hydra.core.singleton

    task, context, state = cloudpickle.loads(setup)
    hydra.core.singleton.Singleton.set_state(state)

    one_at_a_time = threading.Lock()

    def send(kind: str, payload: dict[str, Any]) -> bool:
        with one_at_a_time:
            connection.send((kind, payload))
            return bool(cloudpickle.loads(inbox.get())) if kind == "report" else False

    while True:
        job: Job = cloudpickle.loads(inbox.get())
        outcome = _run(task, context, job, send)
        sys.stderr.write(outcome.traceback)  # to the trial's console.log, where a program of its own would have it
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(("outcome", outcome))


def _listen(connection: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    """Passes messages on; takes the whole process down when the agent is gone, since nobody wants its result."""
    while True:
        try:
            message = connection.recv_bytes()
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)  # with whatever the task has started: the session is this process's own
        inbox.put(message)


def _run(task: Any, context: Any, job: Job, send: Any) -> Outcome:
    from hydra.core.utils import JobStatus, run_job

    Path(job.console).parent.mkdir(parents=True, exist_ok=True)
    with open(job.console, "ab", buffering=0) as console:  # noqa: PTH123
        for descriptor in (1, 2):  # TensorFlow's C++ writes to the descriptors, not to sys.stderr
            os.dup2(console.fileno(), descriptor)
    with running(Trial(job.number, send, job.earlier, job.final)):
        try:
            result = run_job(
                task_function=task,
                config=job.config,
                job_dir_key="hydra.sweep.dir",
                job_subdir_key="hydra.sweep.subdir",
                hydra_context=context,
            )
        except BaseException as error:
            return raised(error)
    if result.status == JobStatus.COMPLETED:
        return returned(result.return_value, job.objectives)
    return raised(result._return_value)
