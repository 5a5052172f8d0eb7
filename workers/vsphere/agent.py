"""The vSphere agent: one vCenter, or ESXi host, and all methods that ask it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, ClassVar, Self

from vpoller_like.errors import ConfigError
from workers.vsphere.encode import encode
from workers.vsphere.hosts import configured, health, password
from workers.vsphere.methods.alarms import AlarmMethods
from workers.vsphere.methods.cluster import ClusterMethods
from workers.vsphere.methods.datacenter import DatacenterMethods
from workers.vsphere.methods.datastore import DatastoreMethods
from workers.vsphere.methods.events import EventMethods
from workers.vsphere.methods.general import GeneralMethods
from workers.vsphere.methods.guest import GuestMethods
from workers.vsphere.methods.host import HostMethods
from workers.vsphere.methods.metrics import MetricsMethods
from workers.vsphere.methods.network import NetworkMethods
from workers.vsphere.methods.perf import PerformanceMethods
from workers.vsphere.methods.pool import ResourcePoolMethods
from workers.vsphere.methods.process import ProcessMethods
from workers.vsphere.methods.snapshot import SnapshotMethods
from workers.vsphere.methods.vm import VirtualMachineMethods
from workers.vsphere.methods.vsan import VsanMethods
from workers.vsphere.session.connection import Target
from workers.vsphere.session.tls import make_trust
from workers.vsphere.vcenter import VCenter

_log = logging.getLogger("vpoller.agent.vsphere")


class VSphereAgent(
    GeneralMethods,
    DatacenterMethods,
    NetworkMethods,
    ClusterMethods,
    ResourcePoolMethods,
    HostMethods,
    VirtualMachineMethods,
    GuestMethods,
    SnapshotMethods,
    ProcessMethods,
    DatastoreMethods,
    MetricsMethods,
    PerformanceMethods,
    AlarmMethods,
    EventMethods,
    VsanMethods,
):
    """Serves one vCenter or ESXi host with one session, which all threads share.

    ``pwd`` is the password, or a function that returns it and is called for each login.
    The server's certificate is checked against the system's authorities; ``ca_file``
    (a PEM file of other authorities), ``thumbprint`` (the certificate's SHA-1 or SHA-256)
    or ``verify=False`` say otherwise. ``timeout`` and ``connect_timeout`` are seconds, of
    silence in a call and for making a connection. The names of up to ``max_names``
    objects are kept at hand; with more, or 0, each look-up by name costs a call more.
    ``max_calls`` is how many calls may be under way at once; further ones wait for
    ``timeout`` at most.

    Nothing is sent before the first task or :meth:`connect`. Raises ``ConfigError`` for
    a contradiction in the arguments.
    """

    name: ClassVar[str] = "vsphere"

    def __init__(
        self,
        user: str,
        pwd: str | password.Password,
        host: str,
        port: int = 443,
        *,
        ca_file: str | None = None,
        thumbprint: str | None = None,
        verify: bool = True,
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        max_names: int = 100_000,
        max_calls: int = 8,
    ) -> None:
        trust = make_trust(verify, ca_file, thumbprint)
        self.hostnames = [host]
        target = Target(host, port, trust, connect_timeout, timeout)
        source = password.from_text(pwd) if isinstance(pwd, str) else pwd
        self.vcenter = VCenter(target, user, source, max_names, max_calls)

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[Self]:
        """Yield an agent for each host in the settings, and for each enabled in the database.

        Raises ``ConfigError``. A host of the database that cannot be served, because its
        ``ca_file`` is gone for instance, is left out and logged: the others are served.
        """
        for host in configured.from_settings(settings):
            yield cls._configured(host)
        for host in configured.from_database(settings):
            try:
                yield cls._configured(host)
            except ConfigError as error:
                name = host.arguments["host"]
                _log.error(
                    "%s is left out: %s; and then say `vpoller host enable %s`",
                    name,
                    error.message,
                    name,
                )

    @classmethod
    def revision(cls, settings: Mapping[str, Any]) -> Hashable:
        """Return what is another after each change of the database of hosts."""
        return configured.revision(settings)

    @classmethod
    def complaints(cls, settings: Mapping[str, Any]) -> Iterable[str]:
        """Yield what is wrong with the database of hosts, its key and its passwords."""
        return health.complaints(settings)

    @classmethod
    def _configured(cls, host: configured.Configured) -> Self:
        agent = cls(**host.arguments)
        agent.variant = host.variant
        return agent

    def __repr__(self) -> str:
        target = self.vcenter.target
        return f"VSphereAgent(user={self.vcenter.user!r}, host={target.host!r}, port={target.port})"

    def connect(self) -> None:
        """Log in now, rather than with the first task; does nothing when logged in.

        Raises ``TaskFailed``, whose message says what to do.
        """
        self.vcenter.connect()

    def disconnect(self) -> None:
        """Log out. The next task logs in again."""
        self.vcenter.close()

    def teardown(self) -> None:
        """Log out, so that no session is left at the vCenter."""
        self.disconnect()

    def encode_value(self, value: Any) -> Any:
        """Return a value of vSphere's as JSON has it; raise ``TypeError`` for others'."""
        try:
            return encode(value)
        except TypeError:
            return super().encode_value(value)
