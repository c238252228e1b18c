"""The process of a worker host, as the service starts it, speaks to it and ends it."""

import os
import select
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence

import msgspec

from service.common.errors import WorkersUnavailable
from service.processes import process_tree
from service.processes.messages import FromWorker, MessageStream, Ready

_PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "OPENBLAS_CORETYPE",
    "LD_LIBRARY_PATH",
)
"""The only variables that workers get: passwords and keys stay in the service."""

_ONE_THREAD = {
    # A fork of a process with more threads is not safe, and trainings share the cores.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

_MARK = "WORKER_HOST"
"""The variable that identifies the processes of a host which ended before them."""

_SEND_SECONDS = 60.0
"""How long a host may take to receive a message, which it does after its imports."""

_END_SECONDS = 5.0


class HostProcess:
    """One worker host, from its start to its end."""

    def __init__(self, command: Sequence[str]) -> None:
        """Start it."""
        self._mark = uuid.uuid4().hex
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= _ONE_THREAD | {
            _MARK: self._mark,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,
            )
        ours.settimeout(_SEND_SECONDS)
        self._stream: MessageStream[Ready | FromWorker] = MessageStream(ours, Ready | FromWorker)
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status once it has ended."""
        return self._process.poll()

    def send(self, message: msgspec.Struct, files: Sequence[int] = ()) -> None:
        """Send a message; raises WorkersUnavailable, and kills the host, if it takes none."""
        try:
            self._stream.send(message, files)
        except OSError as error:
            # A part of the message may have been sent, so that nothing can follow it.
            self.kill()
            raise WorkersUnavailable from error

    def receive(self, seconds: float) -> list[Ready | FromWorker]:
        """Return the messages that arrive in that many seconds; raises EOFError at their end."""
        if not self._poll.poll(seconds * 1e3):
            return []
        try:
            return self._stream.receive()
        except (OSError, ValueError) as error:
            raise EOFError from error

    def hang_up(self) -> None:
        """Tell the host that nothing more is to come, so that it ends."""
        self._stream.end()

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until a host that is ending is gone, and kill it if that takes too long."""
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()

    def close(self) -> None:
        """Close the connection to it."""
        self._stream.close()

    def kill_workers(self) -> None:
        """Kill what a host that has ended has left behind."""
        process_tree.kill_marked(_MARK, self._mark)
