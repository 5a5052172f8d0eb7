"""What answers in a vCenter's place while it starts: a proxy's page, nothing, or a trickle."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("pyVmomi")
pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from workers.vsphere import VSphereAgent
from workers.vsphere.faults import explain
from workers.vsphere.session.connection import Overdue, Target, make_stub, use_newest_version
from workers.vsphere.session.tls import Trust

HTML = "<html><head><meta charset=utf8></head><body>Service Unavailable</body></html>"
XHTML = '<html xmlns="http://www.w3.org/1999/xhtml"><body><p>wait</p></body></html>'


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(credentials())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def credentials() -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)


@contextlib.contextmanager
def answering(tls: ssl.SSLContext, answer: Callable[[ssl.SSLSocket], None]) -> Iterator[int]:
    """Let ``answer`` answer each connection; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        thread = threading.Thread(target=serve, args=(listener, tls, answer))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def serve(
    listener: socket.socket, tls: ssl.SSLContext, answer: Callable[[ssl.SSLSocket], None]
) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        with contextlib.suppress(OSError), tls.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65536)
            answer(connection)


def page(status: str, kind: str, body: str) -> Callable[[ssl.SSLSocket], None]:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return lambda connection: connection.sendall(f"{head}Connection: close\r\n\r\n{body}".encode())


def trickle(connection: ssl.SSLSocket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
    for _ in range(10_000):
        connection.sendall(b" ")
        time.sleep(0.02)


@pytest.mark.parametrize(
    "answer",
    [
        page("503 Service Unavailable", "text/html", HTML),
        page("200 OK", "text/html; charset=utf-8", HTML),
        page("200 OK", "text/html", XHTML),
        page("500 Internal Server Error", "text/html", XHTML),
        page("200 OK", "text/xml", ""),
        page("200 OK", "text/xml", "<e><b/></e>"),
        lambda _: None,
    ],
    ids=["503", "page", "xhtml", "500", "empty", "other xml", "hung up"],
)
def test_what_is_no_vcenter_is_told_and_left_alone(
    tls: ssl.SSLContext, answer: Callable[[ssl.SSLSocket], None]
) -> None:
    with answering(tls, answer) as port:
        agent = VSphereAgent("root", "pwd", "127.0.0.1", port, verify=False)
        first, second = (error(agent.about({})) for _ in range(2))
    assert first["reason"] == second["reason"] == "unreachable"
    assert "retry_in_s" not in first
    assert second["retry_in_s"] >= 0


def test_an_answer_that_trickles_is_given_up(tls: ssl.SSLContext) -> None:
    with answering(tls, trickle) as port:
        target = Target("127.0.0.1", port, Trust(verify=False), 10.0, 10.0, stretch=0.03)
        with pytest.raises(Overdue) as raised:
            use_newest_version(make_stub(target))
    told = explain(raised.value, target, "root")
    assert told is not None
    assert told.details["reason"] == "timeout"
    assert "not complete within 0.3 s" in told.message


def error(reply: dict[str, Any]) -> dict[str, Any]:
    assert reply["success"] == 1
    return dict(reply["error"])
