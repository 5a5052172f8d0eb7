"""The vSphere agent: one vCenter, or ESXi host, and all methods that ask it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from workers.vsphere import password
from workers.vsphere.connection import Target
from workers.vsphere.encode import encode
from workers.vsphere.methods.cluster import ClusterMethods
from workers.vsphere.methods.datacenter import DatacenterMethods
from workers.vsphere.methods.datastore import DatastoreMethods
from workers.vsphere.methods.general import GeneralMethods
from workers.vsphere.methods.host import HostMethods
from workers.vsphere.methods.vm import VirtualMachineMethods
from workers.vsphere.settings import read_hosts
from workers.vsphere.tls import make_trust
from workers.vsphere.vcenter import VCenter


class VSphereAgent(
    GeneralMethods,
    DatacenterMethods,
    ClusterMethods,
    HostMethods,
    VirtualMachineMethods,
    DatastoreMethods,
):
    """Serves one vCenter or ESXi host with one session, which all threads share.

    ``pwd`` is the password, or a function that returns it and is called for each login.
    The server's certificate is checked against the system's authorities; ``ca_file``
    (a PEM file of other authorities), ``thumbprint`` (the certificate's SHA-1 or SHA-256)
    or ``verify=False`` say otherwise. ``timeout`` and ``connect_timeout`` are seconds, of
    silence in a call and for making a connection. For ``name_age`` seconds a name is
    remembered to mean the same object, as long as the object still has it.

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
        name_age: float = 60.0,
    ) -> None:
        trust = make_trust(verify, ca_file, thumbprint)
        self.hostnames = [host]
        target = Target(host, port, trust, connect_timeout, timeout)
        source = password.from_text(pwd) if isinstance(pwd, str) else pwd
        self.vcenter = VCenter(target, user, source, name_age)

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[Self]:
        """Yield an agent for each ``[[agents.vsphere.hosts]]``; raise ``ConfigError``."""
        for arguments in read_hosts(settings):
            yield cls(**arguments)

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
