"""The vSphere agent: the methods that ask a vCenter, or an ESXi host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from vpoller_like.agent import Agent, task
from workers.vsphere import password
from workers.vsphere.collector import Row, collect
from workers.vsphere.connection import Target
from workers.vsphere.encode import encode
from workers.vsphere.faults import explain
from workers.vsphere.inventory import Inventory, refuse_denied, unique
from workers.vsphere.kinds import CLUSTER, DATACENTER, DATASTORE, HOST, VM, Kind
from workers.vsphere.login import Login, log_in
from workers.vsphere.params import About, Discover, Get, GetDatastore, Nothing
from workers.vsphere.paths import refuse_unknown
from workers.vsphere.session import Session
from workers.vsphere.settings import read_hosts
from workers.vsphere.tls import make_trust
from workers.vsphere.vmomi import vim

T = TypeVar("T")
Rows = list[dict[str, Any]]

DISCOVERED = "Successfully discovered objects"
RETRIEVED = "Successfully retrieved object properties"

#: Seconds; listing a large inventory takes a vCenter a while.
_DISCOVER_TIMEOUT = 120.0

#: What ``session.get`` tells of a session; each is a string, as in vPoller.
_SESSION_FIELDS = (
    "key",
    "userName",
    "fullName",
    "loginTime",
    "lastActiveTime",
    "ipAddress",
    "userAgent",
    "callCount",
)


class VSphereAgent(Agent):
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
        self._target = Target(host, port, trust, connect_timeout, timeout)
        self._user = user
        self._password = password.from_text(pwd) if isinstance(pwd, str) else pwd
        self._session = Session(self._log_in)
        self._inventory = Inventory(name_age)

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[Self]:
        """Yield an agent for each ``[[agents.vsphere.hosts]]``; raise ``ConfigError``."""
        for arguments in read_hosts(settings):
            yield cls(**arguments)

    def __repr__(self) -> str:
        host, port = self._target.host, self._target.port
        return f"VSphereAgent(user={self._user!r}, host={host!r}, port={port})"

    def connect(self) -> None:
        """Log in now, rather than with the first task; does nothing when logged in.

        Raises ``TaskFailed``, whose message says what to do.
        """
        self._session.forgive()
        self._explained(self._session.login)

    def disconnect(self) -> None:
        """Log out. The next task logs in again."""
        self._session.close()

    def teardown(self) -> None:
        """Log out, so that no session is left at the vCenter."""
        self.disconnect()

    def encode_value(self, value: Any) -> Any:
        """Return a value of vSphere's as JSON has it; raise ``TypeError`` for others'."""
        try:
            return encode(value)
        except TypeError:
            return super().encode_value(value)

    @task("about", retry_safe=True, msg="Successfully retrieved properties")
    def about(self, msg: About) -> Rows:
        """Tell the product, its version and its build."""
        whole = self._read_one(vim.ServiceInstance("ServiceInstance"), "content.about")
        if not msg.properties:
            return [whole]
        asked = unique(["fullName", *msg.properties])
        refuse_unknown(vim.AboutInfo, asked)
        return [{path: whole.get(path) for path in asked}]

    @task("session.get", retry_safe=True, msg="Successfully retrieved sessions")
    def session_get(self, _: Nothing) -> Rows:
        """List the sessions at the vCenter. Needs the privilege Sessions.TerminateSession."""
        manager = self._run(lambda login: login.content.sessionManager)
        sessions = self._read_one(manager, "sessionList")
        return [{field: str(each.get(field, "")) for field in _SESSION_FIELDS} for each in sessions]

    @task("datacenter.discover", retry_safe=True, timeout=_DISCOVER_TIMEOUT, msg=DISCOVERED)
    def datacenter_discover(self, msg: Discover) -> Rows:
        """List all datacenters."""
        return self._discover(DATACENTER, ["name", *msg.properties])

    @task("cluster.discover", retry_safe=True, timeout=_DISCOVER_TIMEOUT, msg=DISCOVERED)
    def cluster_discover(self, msg: Discover) -> Rows:
        """List all clusters."""
        return self._discover(CLUSTER, ["name", *msg.properties])

    @task("host.discover", retry_safe=True, timeout=_DISCOVER_TIMEOUT, msg=DISCOVERED)
    def host_discover(self, msg: Discover) -> Rows:
        """List all ESXi hosts."""
        return self._discover(HOST, ["name", *msg.properties])

    @task("host.get", retry_safe=True, msg=RETRIEVED)
    def host_get(self, msg: Get) -> Rows:
        """Return properties of one ESXi host."""
        return self._get(HOST, msg.name, msg.properties)

    @task("vm.discover", retry_safe=True, timeout=_DISCOVER_TIMEOUT, msg=DISCOVERED)
    def vm_discover(self, msg: Discover) -> Rows:
        """List all virtual machines."""
        return self._discover(VM, ["name", *msg.properties])

    @task("vm.get", retry_safe=True, msg=RETRIEVED)
    def vm_get(self, msg: Get) -> Rows:
        """Return properties of one virtual machine."""
        return self._get(VM, msg.name, msg.properties)

    @task("datastore.discover", retry_safe=True, timeout=_DISCOVER_TIMEOUT, msg=DISCOVERED)
    def datastore_discover(self, msg: Discover) -> Rows:
        """List all datastores, each with the URL by which datastore.get knows it."""
        return self._discover(DATASTORE, ["name", "info.url", *msg.properties])

    @task("datastore.get", retry_safe=True, msg=RETRIEVED)
    def datastore_get(self, msg: GetDatastore) -> Rows:
        """Return properties of one datastore."""
        return self._get(DATASTORE, msg.name, msg.properties)

    def _discover(self, kind: Kind, paths: Sequence[str]) -> Rows:
        asked = unique(paths)
        return self._run(lambda login: self._inventory.discover(login, kind, asked))

    def _get(self, kind: Kind, name: str, properties: Sequence[str]) -> Rows:
        asked = unique(["name", *properties])
        return [self._run(lambda login: self._inventory.get(login, kind, name, asked))]

    def _read_one(self, managed: Any, path: str) -> Any:
        """Return one property of an object that every vCenter has."""

        def read(login: Login) -> Row:
            return collect(login, type(managed), [path], [managed])[0]

        row = self._run(read)
        refuse_denied(type(managed)._wsdlName, row.denied)
        return row.properties[path]

    def _run(self, work: Callable[[Login], T]) -> T:
        return self._explained(lambda: self._session.run(work))

    def _explained(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            told = explain(error, self._target, self._user)
            if told is None or told is error:
                raise
            raise told from error

    def _log_in(self) -> Login:
        return log_in(self._target, self._user, self._password())
