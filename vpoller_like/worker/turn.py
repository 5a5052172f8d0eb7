"""What a worker's loop does again and again: take in what has come, send what comes of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from vpoller_like.clock import Clock
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.message import DONE
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.port import Port
from vpoller_like.transport.waker import Waker
from vpoller_like.worker import events as ev
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.flow import Flow

#: What a broker says that is not the core's alone.
_REMARKABLE = frozenset([wire.Welcome, wire.Shutdown, wire.Refused])


@compiled
class Turn:
    """Moves what ports and threads have to the core, and what that wants to ports and threads.

    Who derives from it sets ``_poll``, which watches the ports and the waker, and enters who does
    the core's other actions (``_perform``); it hears of what brokers say that is not the core's
    alone (``_remark``) or is no message (``_garbled``), and looks around from time to time
    (``_look_around``).
    """

    def __init__(
        self, core: Flow, executor: Executor, ports: Sequence[Port], waker: Waker, clock: Clock
    ) -> None:
        self._core = core
        self._executor = executor
        self._ports = ports
        self._waker = waker
        self._clock = clock
        self._poll = Poll()
        #: What the owner wants, in order.
        self._orders: deque[ev.Event] = deque()
        #: What the core wants done, and what it wants for what has come of that.
        self._actions: list[ev.Action] = []
        self._perform: dict[type[Any], Callable[[Any], None]] = {}
        self._next_pulse = 0.0
        #: When to look around, without being told of anything.
        self._next_look = 0.0
        #: Why it has ended; ``None`` while it runs.
        self.ended: str | None = None

    def settle(self) -> bool:
        """Take in what tasks have come to, and what time has; False when all is over."""
        progress = self._executor.progress()
        if progress is not None:
            self._feed(progress)
        now = self._clock()
        due = self._core.next_due(now)
        if now >= self._next_pulse or (due is not None and due <= now):
            due = self._look_around(now)
        self._next_look = self._next_pulse if due is None else min(due, self._next_pulse)
        return self.ended is None

    def listen(self) -> None:
        """Wait for messages and orders, and take in what there is."""
        patience = 0.0 if self._executor.is_ready else max(0.0, self._next_look - self._clock())
        ready = self._poll.wait(patience)
        if self._waker.fd in ready:
            self._waker.clear()
        for index, port in enumerate(self._ports):
            for message in port.receive(port.socket in ready):
                self._take(index, message.frames)
        while self._orders:
            self._feed(self._orders.popleft())

    def _take(self, index: int, frames: list[bytes]) -> None:
        try:
            said = wire.decode_from_broker(frames)
        except ProtocolError as error:
            self._garbled(index, error)
            return
        if type(said) in _REMARKABLE:
            self._remark(index, said)
        self._feed(ev.Received(index, said))

    def _feed(self, event: ev.Event) -> None:
        """Give ``event`` to the core and do what it says, and what comes of that, in order."""
        self._actions = actions = self._core.handle(event, self._clock())
        # What comes of them is put behind them meanwhile.
        for action in actions:
            if isinstance(action, ev.Send):
                sent = self._ports[action.link].send(wire.encode(action.message))
                if sent is not DONE:
                    self._follow(ev.Unsent(action.link, action.message))
            elif isinstance(action, ev.Submit):
                self._executor.submit(action.runs)
            else:
                self._perform[type(action)](action)

    def _follow(self, event: ev.Event) -> None:
        """Have what comes of an action done behind what is to be done already."""
        self._actions.extend(self._core.handle(event, self._clock()))

    # Who derives from it -----------------------------------------------------------------

    def _look_around(self, now: float) -> float | None:
        """Do what time asks for; return when the core wants the next Tick."""
        raise NotImplementedError

    def _remark(self, index: int, said: wire.FromBroker) -> None:
        raise NotImplementedError

    def _garbled(self, index: int, error: ProtocolError) -> None:
        raise NotImplementedError
