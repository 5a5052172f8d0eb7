"""Ask a broker that asks for a key: ask_curve.py ENDPOINT SERVER.pub MY.key REQUEST."""

import sys
from pathlib import Path

import zmq

endpoint, server, mine, request = sys.argv[1:]


def key(path: str) -> bytes:
    """Read a key as the broker's tools write it: 40 characters of Z85."""
    return Path(path).read_bytes().strip()


socket = zmq.Context().socket(zmq.REQ)
socket.linger = 0
socket.rcvtimeo = 10_000
socket.curve_serverkey = key(server)
socket.curve_secretkey = key(mine)
socket.curve_publickey = zmq.curve_public(key(mine))
socket.connect(endpoint)
socket.send_string(request)
try:
    print(socket.recv_string())
except zmq.Again:
    sys.exit("no reply: no broker is there, or it does not let this key in")
