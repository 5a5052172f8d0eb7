"""Settings: what they are, their defaults, and where each came from."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Endpoint = Annotated[str, msgspec.Meta(pattern=r"^(tcp|ipc|inproc)://.+")]
MaybeEndpoint = Annotated[str, msgspec.Meta(pattern=r"^(tcp://.+)?$")]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]
Bytes = Annotated[int, msgspec.Meta(ge=1024, le=1 << 40)]
#: A body's: what a worker takes off the wire holds any of them.
BodyBytes = Annotated[int, msgspec.Meta(ge=1024, le=64 << 20)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=1 << 30)]
Address = Annotated[str, msgspec.Meta(pattern=r"^.+:\d{1,5}$")]


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
    #: The broker's key, by name: frontend, backend and admin speak CURVE. Empty: they do not.
    key: str = ""
    #: Where clients ask that cannot do CURVE; empty is nowhere.
    open_frontend: MaybeEndpoint = ""
    #: The networks from which they may: ``["10.1.0.0/16", "192.0.2.7"]``.
    allow_plain: list[str] = []
    #: The methods that they may ask for, as patterns.
    open_methods: list[str] = msgspec.field(default_factory=lambda: ["*"])
    #: How often workers and the broker show each other that they live; less often where there
    #: are many workers.
    heartbeat_ms: Milliseconds = 1000
    #: Silence after which a worker is given up.
    liveness_ms: Milliseconds = 3000
    #: Largest body of a request.
    max_request: BodyBytes = 1 << 20
    #: Largest body of a reply; a worker's larger one becomes ``too_large``.
    max_reply: BodyBytes = 16 << 20
    #: Requests in one batch.
    max_batch: Positive = 1000
    #: Frames before a request's body, the delimiter included.
    max_frames: Annotated[int, msgspec.Meta(ge=1, le=64)] = 8
    #: Requests of one principal (without CURVE: of one connection) that are not answered
    #: yet; more are answered ``busy``.
    max_in_flight: Positive = 20_000
    #: Clients that may wait for one task under one id; more are answered ``busy``.
    max_waiters: Positive = 64
    #: Questions to workers about ids that may be forgotten, not answered yet; requests that
    #: would need more are answered ``busy``.
    max_searches: Positive = 10_000
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
    #: How many replies are remembered.
    remember_count: Positive = 200_000
    #: Bytes of all replies together that their clients do not take yet; the same for workers.
    unsent_bytes: Bytes = 256 << 20
    #: Bytes of those for one of them, which never has more than it leaves free. A reply that
    #: goes beyond is dropped; a worker that something goes beyond for is given up.
    unsent_peer_bytes: Bytes = 32 << 20
    #: Who takes nothing of it for so long loses it.
    unsent_ms: Milliseconds = 60_000
    #: File descriptors, one for each connection, that the broker asks the system for.
    max_files: Annotated[int, msgspec.Meta(ge=64, le=1 << 20)] = 65_536
    #: How often a ``retry_safe`` task is given to a worker before it fails.
    max_attempts: Positive = 3
    #: How long a plain REP worker may take.
    plain_timeout_ms: Milliseconds = 60_000
    #: On SIGTERM, how long accepted tasks may take to finish, and clients to take their replies.
    drain_ms: Milliseconds = 30_000


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[worker]``."""

    #: The brokers' backends; the worker serves them all.
    backends: list[Endpoint] = msgspec.field(default_factory=lambda: ["tcp://127.0.0.1:10124"])
    #: This worker's key, by name; empty speaks to brokers without CURVE.
    key: str = ""
    #: The brokers' public key: its name, or the 40 characters themselves.
    server_key: str = ""
    #: Agents to load, by entry-point name.
    agents: list[str] = msgspec.field(default_factory=lambda: ["system"])
    #: Processes; 0 is one for each core.
    processes: Annotated[int, msgspec.Meta(ge=0, le=1024)] = 0
    #: Tasks that one process runs at once for each host, or for agents without hosts.
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 4
    #: Shown in ``vpoller workers``; empty is the node's name.
    name: str = ""
    #: How long results are remembered after the broker has them.
    remember_ms: Milliseconds = 60_000
    #: Bytes of all remembered results of one process together, shared out among its hosts.
    remember_bytes: Bytes = 64 << 20
    #: How many results one process remembers; its hosts have equal shares of them.
    remember_count: Positive = 200_000
    #: Largest reply; a larger one, here or at the broker, is answered ``too_large``.
    max_reply: BodyBytes = 16 << 20
    #: On SIGTERM, how long running tasks may take to finish.
    drain_ms: Milliseconds = 30_000
    #: A process whose loop stands still for so long is killed and replaced.
    stuck_ms: Annotated[int, msgspec.Meta(ge=1000, le=86_400_000)] = 15_000


class ClientSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[client]``."""

    #: The brokers' frontends; a try that fails goes to the next one.
    endpoints: list[Endpoint] = msgspec.field(default_factory=lambda: ["tcp://127.0.0.1:10123"])
    #: Where ``vpoller status`` and its like ask.
    admin: Endpoint = "tcp://127.0.0.1:9999"
    #: This client's key, by name; empty speaks to brokers without CURVE.
    key: str = ""
    #: The brokers' public key: its name, or the 40 characters themselves.
    server_key: str = ""
    #: Milliseconds per try.
    timeout: Milliseconds = 3000
    #: How often a request is sent in all.
    retries: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3


class ExporterSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[exporter]``."""

    #: Where ``vpoller exporter`` serves HTTP.
    listen: Address = "127.0.0.1:10127"
    #: The networks from which others than this machine may ask.
    allow: list[str] = []
    #: The method that collects a target's metrics.
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = "metrics.collect"
    #: Longest time that a scrape may take; Prometheus mostly says a shorter one.
    timeout_ms: Milliseconds = 30_000
    #: Scrapes at once, of which a quarter may be of one target; others wait.
    max_scrapes: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 32


class SecuritySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[security]``."""

    #: The directory of the keys. Empty: ``/etc/vpoller/keys`` for root where it exists,
    #: else ``~/.config/vpoller/keys``.
    keys: str = ""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole ``vpoller.toml``."""

    broker: BrokerSettings = BrokerSettings()
    worker: WorkerSettings = WorkerSettings()
    client: ClientSettings = ClientSettings()
    exporter: ExporterSettings = ExporterSettings()
    security: SecuritySettings = SecuritySettings()
    #: One section for each agent, which checks it itself: ``[agents.vsphere]``.
    agents: dict[str, dict[str, Any]] = {}
