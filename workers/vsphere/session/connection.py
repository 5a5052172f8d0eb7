"""The way to one vCenter: address, time limits and a TLS connection that checks its pin."""

from __future__ import annotations

import socket
import ssl
import time
from errno import ECONNRESET
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from xml.etree import ElementTree

import msgspec

from workers.vsphere.session.tls import Trust, check_thumbprint, context_for
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
    #: How many times as long an answer may take in all, however steadily it comes.
    stretch: float = 10.0

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class ConnectTimeout(TimeoutError):
    """No connection was made in time, which was so many ``seconds``."""

    def __init__(self, text: str, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class Overdue(TimeoutError):
    """An answer kept coming, and was not complete within so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not complete within {seconds:g} s")
        self.seconds = seconds


class BoundedSocket(ssl.SSLSocket):
    """Bounds a whole answer, where a time-out bounds each single read of it."""

    def expect(self, silence: float, longest: float) -> None:
        """An answer is to come, with so many seconds of ``silence``, and in ``longest`` in all."""
        self._silence, self._longest = silence, longest
        self._deadline = time.monotonic() + longest
        self.settimeout(silence)

    def getpeername(self) -> Any:
        """Return whom this is connected to; close it where nobody is there any more.

        Python asks before the handshake, and would leave such a socket open.
        """
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            raise ConnectionResetError(ECONNRESET, "Connection reset by peer") from error

    def recv_into(self, *into: Any) -> int:
        """Read; raise ``TimeoutError``."""
        left = self._deadline - time.monotonic()
        try:
            if left > 0:
                self.settimeout(min(left, self._silence))
                return super().recv_into(*into)
        except TimeoutError:
            if left >= self._silence:
                raise
        raise Overdue(self._longest)


class PinnedConnection(HTTPSConnection):
    """An HTTPS connection with time limits of its own, for connecting and for whole answers.

    A pinned certificate is checked on every connection, right after the handshake and so
    before a request, with its credentials or cookie, is sent. (pyVmomi's own check is left out: it
    looks at the thumbprint only where the authority check fails, and switches that
    check off for all later connections.)
    """

    def __init__(self, target: Target, context: ssl.SSLContext) -> None:
        super().__init__(target.host, target.port, timeout=target.connect_timeout, context=context)
        self._target = target
        self._tls = context
        self._answer: HTTPResponse | None = None

    def connect(self) -> None:
        """Connect, shake hands and check the pin; leave nothing open on failure."""
        try:
            self._connect()
        except BaseException as error:
            self.close()
            if isinstance(error, TimeoutError):
                raise ConnectTimeout(str(error), self._target.connect_timeout) from error
            raise

    def putrequest(self, *line: Any, **options: Any) -> None:
        """Begin a request, whose answer has to be there in time."""
        if self.sock is None:
            self.connect()
        self.sock.expect(self._target.timeout, self._target.timeout * self._target.stretch)
        super().putrequest(*line, **options)

    def getresponse(self) -> HTTPResponse:
        """Return the answer; raise ``HTTPException`` for a page that a proxy made for people.

        That is, with a status by which pyVmomi would take it for SOAP.
        """
        response = self._answer = super().getresponse()
        if (
            response.status in (200, 500)
            and "html" in response.getheader("Content-Type", "").lower()
        ):
            raise HTTPException(f"{response.status} {response.reason}, an HTML page")
        return response

    def close(self) -> None:
        """Close it, and with it an answer that was not read to its end."""
        super().close()
        if self._answer is not None:
            self._answer.close()

    def _connect(self) -> None:
        end = time.monotonic() + self._target.connect_timeout
        plain = socket.create_connection((self.host, self.port), self._target.connect_timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What TCP has left of it is the handshake's.
        plain.settimeout(max(0.001, end - time.monotonic()))
        self.sock: Any = self._tls.wrap_socket(plain, server_hostname=self.host)
        pinned = self._target.trust.thumbprint
        if pinned:
            check_thumbprint(pinned, self.sock.getpeercert(binary_form=True) or b"")


def make_stub(target: Target, agent: str = "vpoller-like") -> Any:
    """Return pyVmomi's SOAP stub for ``target``; connects only when it is used.

    ``agent`` is the name by which the vCenter's list of sessions shows this client.
    """
    stub = soap.SoapStubAdapter(
        host=target.host,
        port=target.port,
        poolSize=_POOL,
        connectionPoolTimeout=_IDLE_SECONDS,
        customHeaders={"User-Agent": agent},
    )
    set_target(stub, target)
    return stub


def set_target(stub: Any, target: Target) -> None:
    """Let the stub's next connections be made as ``target`` says."""
    context = context_for(target.trust)
    context.sslsocket_class = BoundedSocket
    # pyVmomi's releases differ in what they pass here; it is all in the target.
    stub.scheme = lambda *_, **__: PinnedConnection(target, context)


def retire(stub: Any) -> None:
    """Close the stub's connections: those that are idle now, the others after their call."""
    stub.poolSize = 0
    stub.DropConnections()


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
