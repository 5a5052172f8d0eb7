"""What workers and brokers say to each other: one command byte, one MessagePack frame.

HELLO and WELCOME are maps, so that they can grow; the others are arrays, in the order
of their fields here. ``docs/protocol.rst`` holds the grammar and the state tables.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, NamedTuple

import msgspec

from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.encoding import DECODE_FAULTS, field_fault
from vpoller_like.protocol.limits import (
    MAX_HELD,
    MAX_HOSTNAME,
    MAX_ID,
    MAX_LABEL,
    MAX_METHOD,
    MAX_REPLY,
)

VERSION = 1

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 20)]
Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_METHOD)]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LABEL)]
Hostname = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_HOSTNAME)]
RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]
Fingerprint = Annotated[bytes, msgspec.Meta(max_length=64)]


class Command(enum.IntEnum):
    """The command byte. A worker's commands are below 0x80, a broker's above."""

    HELLO = 0x01
    RESULTS = 0x02
    HEARTBEAT = 0x03
    RETURN = 0x04
    HAVE = 0x05
    DRAIN = 0x06
    BYE = 0x07
    WELCOME = 0x81
    TASKS = 0x82
    ACK = 0x83
    CANCEL = 0x84
    WHOHAS = 0x85
    RESYNC = 0x86
    ALIVE = 0x87
    SHUTDOWN = 0x88
    REFUSED = 0x89


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """A message, or a part of one, that is written as a map."""


class Array(msgspec.Struct, frozen=True, array_like=True):
    """A message, or a part of one, that is written as an array."""


# Parts ---------------------------------------------------------------------------------


class Param(Map, frozen=True, omit_defaults=True):
    """One parameter of a method, for people and for tools."""

    name: Name
    type: str = "any"
    required: bool = False
    default: Any = None
    doc: str = ""
    secret: bool = False


class Method(Map, frozen=True, omit_defaults=True):
    """One method that an agent serves, with its flags."""

    name: Name
    #: Running it twice does no harm, so a lost worker's task is given to another.
    retry_safe: bool = False
    #: The worker stops waiting for a run after this long.
    timeout_ms: Number = 60_000
    doc: str = ""
    params: list[Param] = []


class Offer(Map, frozen=True):
    """What one agent serves: its methods, for its hosts; ``None`` is any host."""

    agent: Label
    methods: list[Method]
    hosts: list[Hostname] | None = None


class Held(Array, frozen=True):
    """A task that a worker holds: it runs, or its result is not acknowledged yet."""

    task: Number
    attempt: Count
    method: Name
    hostname: str | None
    principal: str
    id: RequestId | None
    fingerprint: Fingerprint | None


class Assignment(Array, frozen=True, gc=False):
    """One task in TASKS. ``body`` is the client's request as it came."""

    task: Number
    attempt: Count
    method: Name
    hostname: str | None
    principal: str
    id: RequestId | None
    fingerprint: Fingerprint | None
    body: bytes


class Attempt(Array, frozen=True, gc=False):
    """One giving of a task to a worker. A result names it, so that a late one is known."""

    task: Number
    attempt: Count


class Result(Array, frozen=True, gc=False):
    """One result. ``code`` is empty for a success; ``body`` is the reply's envelope."""

    task: Number
    attempt: Count
    code: Annotated[str, msgspec.Meta(max_length=32)]
    ran_us: Number
    body: bytes


# Worker to broker ----------------------------------------------------------------------


class Hello(Map, frozen=True):
    """A worker introduces itself, or does so again after RESYNC."""

    COMMAND: ClassVar[Command] = Command.HELLO
    version: int
    label: Label
    #: Random, made at the process's start: the same worker after a reconnection.
    instance: Annotated[str, msgspec.Meta(min_length=8, max_length=64)]
    #: Counts this worker's HELLOs to this broker from 1. TASKS repeat it: the broker takes
    #: back at HELLO what is not in ``held``, so TASKS of an earlier session are dropped.
    session: Number
    pid: Number
    slots: Count
    ahead: Count
    offers: list[Offer]
    held: Annotated[list[Held], msgspec.Meta(max_length=MAX_HELD)] = []

    def __post_init__(self) -> None:
        # It goes into logs and to terminals, where control characters are commands.
        if not self.label.isprintable():
            msgspec.structs.force_setattr(self, "label", _printable(self.label))


def _printable(text: str) -> str:
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)[:MAX_LABEL]


class Results(Array, frozen=True):
    """Finished tasks. ``seq`` counts this worker's RESULTS from 1 after each HELLO."""

    COMMAND: ClassVar[Command] = Command.RESULTS
    seq: Number
    slots: Count
    ahead: Count
    items: list[Result]


class Heartbeat(Array, frozen=True):
    """The worker's loop lives. ``slots`` run at once; ``ahead`` more may wait there."""

    COMMAND: ClassVar[Command] = Command.HEARTBEAT
    slots: Count
    ahead: Count


class Return(Array, frozen=True):
    """Tasks that were not started, given back."""

    COMMAND: ClassVar[Command] = Command.RETURN
    slots: Count
    ahead: Count
    items: list[Attempt]


class Possession(enum.IntEnum):
    """What a worker knows of an id."""

    NONE = 0
    RUNNING = 1
    DONE = 2
    #: The id was used, for a request with another fingerprint.
    OTHER = 3


class Have(Array, frozen=True):
    """The answer to WHOHAS. ``held`` and, for DONE, ``result`` say which run it was.

    A worker that answers RUNNING owes the asking broker the result too, also where the
    task came from another broker: it sends it in RESULTS, under the task number in
    ``held``, to both.
    """

    COMMAND: ClassVar[Command] = Command.HAVE
    query: Number
    state: Possession
    held: Held | None = None
    result: Result | None = None


class Drain(Array, frozen=True):
    """Give me no more; what runs here will finish."""

    COMMAND: ClassVar[Command] = Command.DRAIN


class Bye(Array, frozen=True):
    """This worker holds nothing any more and leaves."""

    COMMAND: ClassVar[Command] = Command.BYE


# Broker to worker ----------------------------------------------------------------------


class Welcome(Map, frozen=True):
    """The broker knows this worker now."""

    COMMAND: ClassVar[Command] = Command.WELCOME
    version: int
    #: Random, made at the broker's start: it changes when the broker's memory is gone.
    epoch: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    #: How often the worker is to be heard.
    heartbeat_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]
    #: After how much silence either side gives the other up.
    liveness_ms: Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]
    #: The largest body of a reply, in bytes; the connection of who sends more is closed.
    max_reply: Number = MAX_REPLY


class Tasks(Array, frozen=True):
    """Tasks to run, in this order. A ``session`` other than the last HELLO's is dropped."""

    COMMAND: ClassVar[Command] = Command.TASKS
    session: Number
    items: list[Assignment]


class Ack(Array, frozen=True):
    """All RESULTS up to and including ``seq`` have arrived."""

    COMMAND: ClassVar[Command] = Command.ACK
    seq: Number


class Cancel(Array, frozen=True):
    """Nobody waits for these any more; drop those that are not started."""

    COMMAND: ClassVar[Command] = Command.CANCEL
    items: list[Attempt]


class WhoHas(Array, frozen=True):
    """Do you run this id, or remember its result? Answer with HAVE and ``query``."""

    COMMAND: ClassVar[Command] = Command.WHOHAS
    query: Number
    method: Name
    principal: str
    id: RequestId
    fingerprint: Fingerprint


class Resync(Array, frozen=True):
    """The broker does not know you: say HELLO."""

    COMMAND: ClassVar[Command] = Command.RESYNC


class Alive(Array, frozen=True):
    """The broker's heartbeat."""

    COMMAND: ClassVar[Command] = Command.ALIVE


class Shutdown(Array, frozen=True):
    """Finish what runs, give back the rest, and end."""

    COMMAND: ClassVar[Command] = Command.SHUTDOWN


class Refused(Array, frozen=True):
    """The broker does not take you, and has given up what you hold; try again later."""

    COMMAND: ClassVar[Command] = Command.REFUSED
    reason: Annotated[str, msgspec.Meta(max_length=1024)]


FromWorker = Hello | Results | Heartbeat | Return | Have | Drain | Bye
FromBroker = Welcome | Tasks | Ack | Cancel | WhoHas | Resync | Alive | Shutdown | Refused


class _Reader(NamedTuple):
    """One command's type, and what reads it.

    It reads into the type at once: as plain values first, a frame of 17 million empty lists
    took nine seconds and more than a gigabyte before it was found to be no message.
    """

    kind: type[FromWorker | FromBroker]
    read: Callable[[bytes], Any]


def _reader(kind: type[Any]) -> _Reader:
    return _Reader(kind, msgspec.msgpack.Decoder(kind).decode)


_FROM_WORKER: dict[bytes, _Reader] = {
    bytes([cls.COMMAND]): _reader(cls)
    for cls in (Hello, Results, Heartbeat, Return, Have, Drain, Bye)
}
_FROM_BROKER: dict[bytes, _Reader] = {
    bytes([cls.COMMAND]): _reader(cls)
    for cls in (Welcome, Tasks, Ack, Cancel, WhoHas, Resync, Alive, Shutdown, Refused)
}
#: By type: to find an enumeration's member in a dict takes longer than all the rest.
COMMANDS: dict[type[FromWorker | FromBroker], bytes] = {
    reader.kind: command for command, reader in (_FROM_WORKER | _FROM_BROKER).items()
}
#: Writes a message's frame.
write = msgspec.msgpack.Encoder().encode


def encode(message: FromWorker | FromBroker) -> tuple[bytes, bytes]:
    """Return the command byte and the MessagePack frame of ``message``."""
    return COMMANDS[type(message)], write(message)


def frame_reader(kind: type[FromWorker | FromBroker]) -> Callable[[bytes], Any]:
    """Return what reads frames of one kind, and raises one of ``DECODE_FAULTS``."""
    return (_FROM_WORKER | _FROM_BROKER)[COMMANDS[kind]].read


def _fault(frames: list[bytes], commands: dict[bytes, _Reader], error: Exception) -> ProtocolError:
    """Return what is wrong with ``frames``, where reading them raised ``error``."""
    if len(frames) != 2:
        return ProtocolError(f"expected a command and its frame, got {len(frames)} frames")
    command, payload = frames
    reader = commands.get(command)
    if reader is None:
        return ProtocolError(f"unknown command {command[:8].hex() or 'empty'}", payload)
    fault = field_fault(error) if isinstance(error, msgspec.ValidationError) else error
    return ProtocolError(f"{reader.kind.__name__}: {fault}", payload)


def _decoder(commands: dict[bytes, _Reader]) -> Callable[[list[bytes]], Any]:
    """Return what reads one side's messages, in a single call each."""

    def decode(frames: list[bytes]) -> Any:
        try:
            command, payload = frames
            return commands[command].read(payload)
        except (*DECODE_FAULTS, KeyError) as error:
            raise _fault(frames, commands, error) from error

    return decode


#: Reads what a worker sent, routing id removed; raises ``ProtocolError``.
decode_from_worker: Callable[[list[bytes]], FromWorker] = _decoder(_FROM_WORKER)
#: Reads what a broker sent; raises ``ProtocolError``.
decode_from_broker: Callable[[list[bytes]], FromBroker] = _decoder(_FROM_BROKER)
