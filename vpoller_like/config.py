"""Settings: what they are, their defaults, and where each came from."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Endpoint = Annotated[str, msgspec.Meta(pattern=r"^(tcp|ipc|inproc)://.+")]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
Bytes = Annotated[int, msgspec.Meta(ge=1024, le=1 << 40)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[broker]``."""

    #: Where clients ask.
    frontend: Endpoint = "tcp://127.0.0.1:10123"
    #: Where workers register.
    backend: Endpoint = "tcp://127.0.0.1:10124"
    #: Where plain REP workers connect.
    plain: Endpoint = "tcp://127.0.0.1:10125"
    #: Where ``vpoller status`` and its like ask.
    admin: Endpoint = "tcp://127.0.0.1:9999"
    #: How often workers and the broker show each other that they live.
    heartbeat_ms: Milliseconds = 1000
    #: Silence after which a worker is given up.
    liveness_ms: Milliseconds = 3000
    #: Largest body of a request.
    max_request: Bytes = 1 << 20
    #: Tasks that may wait for one method and host; more are answered ``busy``.
    queue_length: Positive = 100_000
    #: Bytes of all waiting tasks together: their bodies, and 1 KiB for each.
    queue_bytes: Bytes = 512 << 20
    #: How long a request without ``meta.deadline_ms`` may wait for a worker.
    default_deadline_ms: Milliseconds = 60_000
    #: After its start, the broker lets any method wait for workers this long.
    grace_ms: Milliseconds = 2000
    #: A method whose last worker left is waited for this long.
    route_memory_ms: Milliseconds = 30_000
    #: How long a reply is remembered under its ``meta.id``.
    remember_ms: Milliseconds = 60_000
    #: Bytes of all remembered replies together.
    remember_bytes: Bytes = 64 << 20
    #: How often a ``retry_safe`` task is given to a worker before it fails.
    max_attempts: Positive = 3
    #: How long a plain REP worker may take.
    plain_timeout_ms: Milliseconds = 60_000
    #: On SIGTERM, how long accepted tasks may take to finish.
    drain_ms: Milliseconds = 30_000


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[worker]``."""

    #: The brokers' backends; the worker serves them all.
    backends: list[Endpoint] = msgspec.field(default_factory=lambda: ["tcp://127.0.0.1:10124"])
    #: Agents to load, by entry-point name.
    agents: list[str] = msgspec.field(default_factory=lambda: ["system"])
    #: Processes; 0 is one for each core.
    processes: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    #: Tasks that one process runs at once.
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    #: Shown in ``vpoller workers``; empty is the node's name.
    name: str = ""
    #: How long results are remembered after the broker has them.
    remember_ms: Milliseconds = 60_000
    #: Bytes of all remembered results of one process together.
    remember_bytes: Bytes = 64 << 20
    #: Largest reply; a larger one is answered ``too_large``.
    max_reply: Bytes = 16 << 20
    #: On SIGTERM, how long running tasks may take to finish.
    drain_ms: Milliseconds = 30_000


class ClientSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[client]``."""

    #: The brokers' frontends; a try that fails goes to the next one.
    endpoints: list[Endpoint] = msgspec.field(default_factory=lambda: ["tcp://127.0.0.1:10123"])
    #: Where ``vpoller status`` and its like ask.
    admin: Endpoint = "tcp://127.0.0.1:9999"
    #: Milliseconds per try.
    timeout: Milliseconds = 3000
    #: How often a request is sent in all.
    retries: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole ``vpoller.toml``."""

    broker: BrokerSettings = BrokerSettings()
    worker: WorkerSettings = WorkerSettings()
    client: ClientSettings = ClientSettings()
    #: One section for each agent, which checks it itself: ``[agents.vsphere]``.
    agents: dict[str, dict[str, Any]] = {}
