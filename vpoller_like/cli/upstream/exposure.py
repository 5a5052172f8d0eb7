"""Endpoints that others could reach, where a broker asks nobody who he is: and what mends it."""

from __future__ import annotations

from vpoller_like.cli.upstream.mapping import nearby
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ConfigError
from vpoller_like.loading import Loaded
from vpoller_like.sources import SYSTEM_FILE
from vpoller_like.transport.binding import is_local, require_port

#: The doors that speak CURVE where the broker has a key.
_DOORS = ("frontend", "backend", "admin")
#: Where programs of this machine ask, when vPoller's frontend is for clients without keys.
INNER_FRONTEND = "tcp://127.0.0.1:10126"


def exposed(broker: BrokerSettings) -> dict[str, str]:
    """Return the endpoints of ``broker``, by door, that must not be bound as they are.

    Raises ``ConfigError`` for one that cannot be bound at all.
    """
    if broker.key:
        return {}
    bound = {door: getattr(broker, door) for door in _DOORS}
    found = {door: endpoint for door, endpoint in bound.items() if not is_local(endpoint)}
    for endpoint in found.values():
        require_port(endpoint)
    return found


def require_guarded(loaded: Loaded) -> None:
    """Raise ``ConfigError``, with each way out, where endpoints are exposed."""
    found = exposed(loaded.settings.broker)
    if not found:
        return
    origins = loaded.origins
    where = "; ".join(
        f"{endpoint} ({origins[f'broker.{door}']})" for door, endpoint in found.items()
    )
    raise ConfigError(
        f"{where}: others could reach this, and without a key the broker asks nobody who he is."
        + "".join(f"\n  - {remedy}" for remedy in remedies(found))
    )


def remedies(found: dict[str, str]) -> list[str]:
    """Return what can be done about these endpoints, one sentence for each way."""
    local = ", ".join(dict.fromkeys(_loopback(endpoint) for endpoint in found.values()))
    ways = [
        f"For this machine alone: write {local}.",
        "For others, with keys: `vpoller keys new broker`, `vpoller keys authorize NAME "
        f'--public-key KEY` for each of them, and key = "broker" under [broker] in {SYSTEM_FILE}, '
        "or VPOLLER_BROKER_KEY=broker.",
    ]
    if "frontend" in found:
        ways.append(
            "For clients that cannot have keys, at the frontend: allow_plain = [their addresses] "
            f"under [broker] in {SYSTEM_FILE}, or VPOLLER_BROKER_ALLOW_PLAIN=ADDRESS,ADDRESS."
        )
    return ways


def _loopback(endpoint: str) -> str:
    port = nearby(endpoint).rpartition(":")[2]
    return f"tcp://127.0.0.1:{port}"
