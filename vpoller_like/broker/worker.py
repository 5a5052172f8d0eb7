"""What the broker knows of one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.task import Task
from vpoller_like.protocol.worker import Assignment, Hello

if TYPE_CHECKING:
    from vpoller_like.broker.routing import Pool


@compiled
class Worker:
    """A registered worker. ``last_heard`` is in monotonic seconds."""

    __slots__ = (
        "ack",
        "ack_due",
        "acked",
        "ahead",
        "done",
        "draining",
        "giving",
        "instance",
        "key",
        "label",
        "last_heard",
        "peer",
        "pid",
        "placed_slots",
        "pool",
        "returned",
        "session",
        "slots",
        "stale",
        "tasks",
    )

    def __init__(self, peer: bytes, hello: Hello, pool: Pool, now: float) -> None:
        self.instance = hello.instance
        #: The public key that its connection showed; empty without CURVE.
        self.key = ""
        #: The tasks that it was given and has not answered, by number.
        self.tasks: dict[int, Task] = {}
        self.done = 0
        self.returned = 0
        #: Its slots as its pool has counted them.
        self.placed_slots = 0
        self.greet(peer, hello, pool, now)

    def greet(self, peer: bytes, hello: Hello, pool: Pool, now: float) -> None:
        """Take in a HELLO, the first one or a later one."""
        self.peer = peer
        self.label = hello.label
        self.pid = hello.pid
        self.session = hello.session
        self.slots = hello.slots
        self.ahead = hello.ahead
        self.pool = pool
        self.draining = False
        #: What it has been given in this round of the core.
        self.giving: list[Assignment] | None = None
        #: It is to say HELLO again, and counts as silent until it does.
        self.stale = False
        #: The last RESULTS heard of, and the last one acknowledged.
        self.ack = 0
        self.acked = 0
        #: By when the next ACK goes out.
        self.ack_due = 0.0
        self.last_heard = now

    @property
    def free_slots(self) -> int:
        """How many more tasks it would run at once."""
        return 0 if self.draining else self.slots - len(self.tasks)

    @property
    def room(self) -> int:
        """How many more quick tasks it would hold."""
        return 0 if self.draining else self.slots + self.ahead - len(self.tasks)
