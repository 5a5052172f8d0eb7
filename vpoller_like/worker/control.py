"""What a worker process and its supervisor tell each other.

The process reports; the supervisor says nothing, but that it lives: the process drains
when the connection closes.
"""

from __future__ import annotations

import contextlib
import signal
import socket

import msgspec

from vpoller_like.config import Settings

#: Bytes of one report.
MAX_REPORT = 16 << 10
#: Has the process ask its agents at once whether their hosts are others now.
RELOAD = signal.SIGHUP
#: Signals that a process is started with blocked, until it knows what to do with them.
NOT_YET = frozenset([signal.SIGINT, RELOAD])
#: Has the process write its threads' stacks to stderr, also while a task holds the
#: interpreter. Names of files and functions, never values.
WHERE = signal.SIGUSR2


class Start(msgspec.Struct, frozen=True):
    """What a process is given on its standard input."""

    settings: Settings
    label: str
    #: The descriptor that reports go to.
    control: int
    supervisor_pid: int
    log_level: int
    #: ``PYTHONPATH`` as it was before the supervisor's own path was put there.
    pythonpath: str | None


class Up(msgspec.Struct, frozen=True, tag="up"):
    """The agents are set up."""


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The process lives; the loop that has stood still for longest did so ``age`` seconds ago."""

    age: float = 0.0


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The agents could not be loaded or set up; ``message`` says why in a sentence."""

    message: str


class Stuck(msgspec.Struct, frozen=True, tag="stuck"):
    """A task never returns. This process ends within ``seconds``, or is to be killed."""

    seconds: float


class Leaving(msgspec.Struct, frozen=True, tag="leaving"):
    """A broker has told this process to end. That is meant for the whole worker."""


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Nothing more is to be done here; all that is left is to end."""


Report = Up | Beat | Failed | Stuck | Leaving | Done

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the supervisor's end and the process's end of a connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


class Reporter:
    """The process's end, by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)
        self._socket.setblocking(False)

    @property
    def fd(self) -> int:
        """The descriptor, to wait for; readable when the supervisor is gone."""
        return self._socket.fileno()

    def send(self, report: Report) -> None:
        """Tell the supervisor; if it does not listen, that is its loss."""
        with contextlib.suppress(OSError):
            self._socket.send(_encode(report))

    def closed(self) -> bool:
        """Say whether the supervisor is gone."""
        try:
            return not self._socket.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Reports:
    """The supervisor's end."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self.closed = False

    def fileno(self) -> int:
        """Return the descriptor, to wait for."""
        return self._socket.fileno()

    def read(self) -> list[Report]:
        """Return what has arrived; sets ``closed`` when the process has let go."""
        reports: list[Report] = []
        while not self.closed:
            try:
                data = self._socket.recv(MAX_REPORT)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.closed = not data
            if data:
                # What a task may have written there is not worth more than a shrug.
                with contextlib.suppress(msgspec.DecodeError):
                    reports.append(_decoder.decode(data))
        return reports

    def close(self) -> None:
        """Let go of the process, which drains if it still runs."""
        self._socket.close()
