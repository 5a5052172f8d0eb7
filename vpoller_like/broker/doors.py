"""The broker's sockets: where clients, workers, plain workers and operators come in."""

from __future__ import annotations

from vpoller_like.config import BrokerSettings
from vpoller_like.transport import sockets
from vpoller_like.transport.binding import Binding
from vpoller_like.transport.context import new_context
from vpoller_like.transport.curve import Pair
from vpoller_like.transport.monitor import PeerMonitor
from vpoller_like.transport.outbox import Outbox
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.port import Port
from vpoller_like.transport.zap import Zap

#: Operators' requests that are answered in one turn of the loop.
ADMIN_BURST = 8


class Doors:
    """Binds all endpoints; raises ``ConfigError`` where one cannot be bound.

    With ``pair``, the broker's key, frontend, backend and admin speak CURVE.
    """

    def __init__(self, settings: BrokerSettings, pair: Pair | None = None) -> None:
        self._context = new_context()
        self._bound: list[tuple[Port, Binding]] = []
        self.endpoints: dict[str, str] = {}
        #: What each door asks of those who connect, in words.
        self.security: dict[str, str] = {}
        self._pair = pair
        #: Asked about everybody who connects to a door that does not let in just anybody.
        self.zap = Zap(self._context) if pair is not None or settings.open_frontend else None
        try:
            self._open(settings)
        except BaseException:
            self._close_ports(0)
            raise
        bounds = (settings.unsent_bytes, settings.unsent_peer_bytes, settings.unsent_ms / 1000)
        self.frontend_outbox = Outbox(self.frontend, *bounds)
        self.backend_outbox = Outbox(self.backend, *bounds)
        self.admin_outbox = Outbox(self.admin, *bounds)
        for port in (self.frontend, self.admin):
            # The routing id before them, the body after them, and one that says "too many".
            port.max_frames = 1 + settings.max_frames + 2
        # A report of thousands of workers takes its time, and clients wait meanwhile.
        self.admin.max_burst = ADMIN_BURST
        self.backend_peers = PeerMonitor(self.backend)
        self.plain_peers = PeerMonitor(self.plain)
        self.poll = Poll()
        for port in (self.frontend, self.backend, self.plain, self.admin):
            self.poll.watch(port)
        if self.zap is not None:
            self.poll.watch(self.zap.port)
        for peers in (self.backend_peers, self.plain_peers):
            self.poll.watch(peers.socket)
        #: What has something to say all the time; everything else has so rarely.
        self.busy = {self.frontend.socket, self.backend.socket}

    def _open(self, settings: BrokerSettings) -> None:
        context, guard = self._context, self._guard
        asked, answered = settings.max_request, settings.max_reply
        self.frontend = self._add(
            "frontend",
            sockets.frontend(context, settings.frontend, guard("frontend"), max_request=asked),
        )
        self.backend = self._add(
            "backend",
            sockets.backend(context, settings.backend, guard("backend"), max_reply=answered),
        )
        self.plain = self._add(
            "plain", sockets.plain_backend(context, settings.plain, max_reply=answered)
        )
        self.admin = self._add(
            "admin", sockets.frontend(context, settings.admin, guard("admin"), max_request=asked)
        )
        if settings.open_frontend:
            self._open_more(settings)

    def _open_more(self, settings: BrokerSettings) -> None:
        binding = sockets.open_frontend(self.frontend, settings.open_frontend)
        self._add("open_frontend", (self.frontend, binding))
        networks = ", ".join(settings.allow_plain)
        self.security["open_frontend"] = f"plain (allow_plain {networks})"

    def _guard(self, door: str) -> sockets.Guard | None:
        if self._pair is not None:
            return sockets.Guard(door, self._pair)
        # The open frontend is on the same socket, and its clients have names.
        named = door == "frontend" and self.zap is not None
        return sockets.Guard(door, None) if named else None

    def _add(self, name: str, opened: tuple[Port, Binding]) -> Port:
        port, binding = opened
        self._bound.append(opened)
        self.endpoints[name] = binding.endpoint
        near = "loopback" if binding.endpoint.startswith("tcp://") else "this user"
        asks_keys = self._pair is not None and name != "plain"
        self.security[name] = "curve" if asks_keys else f"plain ({near})"
        return port

    def flush(self, now: float) -> list[bytes]:
        """Send what peers take now of what they did not, where that is due (``Outbox.due``).

        Return the workers that are gone.
        """
        self.frontend_outbox.flush(now)
        self.admin_outbox.flush(now)
        return self.backend_outbox.flush(now)

    @property
    def unread(self) -> int:
        """How many replies wait until those who asked take them."""
        return self.frontend_outbox.messages + self.admin_outbox.messages

    def close(self, linger_ms: int) -> None:
        """Close everything; what is not sent yet has ``linger_ms`` to leave."""
        self.backend_peers.close()
        self.plain_peers.close()
        self._close_ports(linger_ms)

    def _close_ports(self, linger_ms: int) -> None:
        for port, _ in self._bound:
            port.close(linger_ms)
        if self.zap is not None:
            self.zap.close()
        self._context.term()
        for _, binding in self._bound:
            binding.release()
