"""Binding: to loopback, to a path nobody holds, with ids that nobody can guess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from vpoller_like.errors import ConfigError
from vpoller_like.transport.binding import bind
from vpoller_like.transport.context import new_context


class Sockets:
    """Sockets that are closed when the test ends."""

    def __init__(self) -> None:
        self._context = new_context()
        self._made: list[zmq.Socket[bytes]] = []

    def __call__(self, kind: int = zmq.ROUTER) -> zmq.Socket[bytes]:
        self._made.append(self._context.socket(kind))
        self._made[-1].set(zmq.LINGER, 0)
        return self._made[-1]

    def close(self) -> None:
        for socket in self._made:
            socket.close(0)
        self._context.term()


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    sockets = Sockets()
    yield sockets
    sockets.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    private = tmp_path / "run"
    private.mkdir(mode=0o700)
    return private


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://localhost:*", "tcp://127.8.9.1:*"]
)
def test_loopback_is_bound_and_the_port_is_told(sockets: Sockets, endpoint: str) -> None:
    with bind(sockets(), endpoint) as binding:
        assert int(binding.endpoint.rpartition(":")[2]) > 0


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp://*:10123",
        "tcp://0.0.0.0:10123",
        "tcp://[::]:10123",
        "tcp://192.0.2.1:10123",
        "tcp://example.org:10123",
        "tcp://eth0:10123",
        "tcp://127.0.0.1.example.org:10123",
    ],
)
def test_any_other_address_is_refused_with_what_to_do(sockets: Sockets, endpoint: str) -> None:
    with pytest.raises(ConfigError, match="not a loopback address") as caught:
        bind(sockets(), endpoint)
    assert endpoint in caught.value.message
    assert "bind 127.0.0.1" in caught.value.message


def test_an_address_in_use_is_said_to_be(sockets: Sockets) -> None:
    with bind(sockets(), "tcp://127.0.0.1:*") as first:
        with pytest.raises(ConfigError) as caught:
            bind(sockets(), first.endpoint)
        assert first.endpoint in caught.value.message
        assert "is in use; end the program that holds it or choose another" in caught.value.message


@pytest.mark.parametrize(
    "endpoint",
    ["tcp://127.0.0.1:99999", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:http"],
)
def test_a_port_that_is_none_is_refused(sockets: Sockets, endpoint: str) -> None:
    """99999 was bound as 34463."""
    with pytest.raises(ConfigError, match="needs a port from 1 to 65535") as caught:
        bind(sockets(), endpoint)
    assert endpoint in caught.value.message


def test_an_endpoint_of_another_kind_is_named(sockets: Sockets) -> None:
    with pytest.raises(ConfigError, match="cannot bind bad://x"):
        bind(sockets(), "bad://x")


# ipc -----------------------------------------------------------------------------------


def test_a_path_is_bound_once(sockets: Sockets, folder: Path) -> None:
    endpoint = f"ipc://{folder}/front"
    with bind(sockets(), endpoint):
        with pytest.raises(ConfigError, match="another process holds it"):
            bind(sockets(), endpoint)
        _talk(sockets, endpoint)


def _talk(sockets: Sockets, endpoint: str) -> None:
    """See that whoever is bound there still can be connected."""
    socket = sockets(zmq.DEALER)
    socket.set(zmq.IMMEDIATE, 1)
    socket.connect(endpoint)
    assert socket.poll(10_000, zmq.POLLOUT)


def test_a_name_outside_of_all_directories_is_refused(sockets: Sockets) -> None:
    """An abstract socket has no mode: everybody on the machine reaches it."""
    with pytest.raises(ConfigError, match="every user of this machine could connect; give a path"):
        bind(sockets(), "ipc://@vpoller-test")


def test_a_path_that_was_let_go_is_bound_again(sockets: Sockets, folder: Path) -> None:
    endpoint = f"ipc://{folder}/front"
    for _ in range(2):
        socket = sockets()
        with bind(socket, endpoint):
            socket.close(0)


def test_a_socket_that_a_dead_process_left_is_no_hindrance(sockets: Sockets, folder: Path) -> None:
    code = (
        "import os, zmq; s = zmq.Context().socket(zmq.ROUTER);"
        f"s.bind('ipc://{folder}/front'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
    assert (folder / "front").exists()
    with bind(sockets(), f"ipc://{folder}/front"):
        _talk(sockets, f"ipc://{folder}/front")


def test_a_file_that_is_no_socket_is_not_touched(sockets: Sockets, folder: Path) -> None:
    precious = folder / "front"
    precious.write_text("precious")
    with pytest.raises(ConfigError, match="a file that is not a socket"):
        bind(sockets(), f"ipc://{precious}")
    assert precious.read_text() == "precious"


def test_a_missing_folder_is_made_for_this_user_alone(sockets: Sockets, tmp_path: Path) -> None:
    with bind(sockets(), f"ipc://{tmp_path}/new/front"):
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
def test_a_folder_that_is_open_to_others_is_refused(
    sockets: Sockets, folder: Path, mode: int
) -> None:
    folder.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 700") as caught:
        bind(sockets(), f"ipc://{folder}/front")
    assert str(folder) in caught.value.message


def test_a_folder_that_cannot_be_made_is_said_to_be(sockets: Sockets, folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot bind ipc://.*/file/front"):
        bind(sockets(), f"ipc://{folder}/file/front")


def test_a_path_that_could_not_be_bound_is_not_held(sockets: Sockets, folder: Path) -> None:
    name = "x" * 120
    for _ in range(2):
        with pytest.raises(ConfigError, match="cannot bind") as caught:
            bind(sockets(), f"ipc://{folder}/{name}")
        assert "holds it" not in caught.value.message


# Routing ids ---------------------------------------------------------------------------

_FIRST_ID = """
import zmq
from vpoller_like.transport.context import new_context
from vpoller_like.transport.sockets import frontend
context = new_context()
port, binding = frontend(context, "tcp://127.0.0.1:*")
dealer = context.socket(zmq.DEALER)
dealer.connect(binding.endpoint)
dealer.send(b"x")
print(port.socket.recv_multipart()[0].hex())
dealer.close(0)
port.close()
context.term()
"""


def test_two_processes_give_out_different_routing_ids() -> None:
    ids = {
        subprocess.run(
            [sys.executable, "-c", _FIRST_ID],
            check=True,
            timeout=60,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        ).stdout
        for _ in range(2)
    }
    assert len(ids) == 2
