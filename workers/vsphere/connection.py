"""The way to one vCenter: address, time limits and a TLS connection that checks its pin."""

from __future__ import annotations

import ssl
from http.client import HTTPSConnection
from typing import Any
from xml.etree import ElementTree

import msgspec

from workers.vsphere.tls import Trust, check_thumbprint, context_for
from workers.vsphere.vmomi import soap, support

#: Connections kept open for the next calls; one for each thread of a busy worker.
_POOL = 32
#: Idle connections are closed after this many seconds, before a vCenter's proxy does it.
_IDLE_SECONDS = 50


class Target(msgspec.Struct, frozen=True):
    """Where a vCenter is, how it proves who it is, and how long it may take."""

    host: str
    port: int
    trust: Trust
    #: Seconds for a connection to be made, TLS included.
    connect_timeout: float
    #: Seconds of silence after which a call is given up.
    timeout: float

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ConnectTimeout(TimeoutError):
    """No connection was made in time."""


class PinnedConnection(HTTPSConnection):
    """An HTTPS connection with a time limit of its own for connecting.

    A pinned certificate is checked on every connection, right after the handshake and so
    before a request, with its credentials or cookie, is sent. (pyVmomi's own check is left out: it
    looks at the thumbprint only where the authority check fails, and switches that
    check off for all later connections.)
    """

    def __init__(self, target: Target, context: ssl.SSLContext) -> None:
        super().__init__(target.host, target.port, timeout=target.connect_timeout, context=context)
        self._target = target

    def connect(self) -> None:
        """Connect, shake hands and check the pin; leave nothing open on failure."""
        try:
            self._connect()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeout(str(error)) from error
            raise

    def _connect(self) -> None:
        super().connect()
        pinned = self._target.trust.thumbprint
        if pinned:
            check_thumbprint(pinned, self.sock.getpeercert(binary_form=True) or b"")
        self.sock.settimeout(self._target.timeout)


def make_stub(target: Target) -> Any:
    """Return pyVmomi's SOAP stub for ``target``; connects only when it is used."""
    stub = soap.SoapStubAdapter(
        host=target.host, port=target.port, poolSize=_POOL, connectionPoolTimeout=_IDLE_SECONDS
    )
    set_target(stub, target)
    return stub


def set_target(stub: Any, target: Target) -> None:
    """Let the stub's next connections be made as ``target`` says."""
    context = context_for(target.trust)
    # pyVmomi's releases differ in what they pass here; it is all in the target.
    stub.scheme = lambda *_, **__: PinnedConnection(target, context)


def use_newest_version(stub: Any) -> None:
    """Let the stub speak the newest version of the API that both sides know.

    A server without a list of versions is spoken to in the oldest version of the API.
    """
    for version in _served_versions(stub):
        known = support.versionMap.get(f"vim25/{version}")
        if known is not None:
            stub.ComputeVersionInfo(known)
            return


def _served_versions(stub: Any) -> list[str]:
    """Return the API's versions that the server offers, its favourite one first."""
    connection = stub.GetConnection()
    try:
        connection.request("GET", "/sdk/vimServiceVersions.xml")
        response = connection.getresponse()
        body = response.read()
    except BaseException:
        connection.close()
        raise
    stub.ReturnConnection(connection)
    return _parse_versions(body) if response.status == 200 else []


def _parse_versions(document: bytes) -> list[str]:
    try:
        root = ElementTree.fromstring(document)
    except ElementTree.ParseError:
        return []
    for namespace in root.iter("namespace"):
        if namespace.findtext("name") == "urn:vim25":
            return [version.text or "" for version in namespace.iter("version")]
    return []
