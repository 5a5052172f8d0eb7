"""Asks many requests in one message, with pyzmq alone: ask_batch.py ENDPOINT REQUEST..."""

import json
import sys

import zmq

endpoint, *requests = sys.argv[1:]
socket = zmq.Context().socket(zmq.DEALER)
socket.linger = 0
socket.connect(endpoint)
# A frame of our own tells this batch's packs from others'; the empty one ends the envelope.
socket.send_multipart([b"batch 1", b"", b"[" + ",".join(requests).encode() + b"]"])
replies = {}
while len(replies) < len(requests) and socket.poll(10_000):
    _name, _empty, pack = socket.recv_multipart()
    pack = json.loads(pack)
    if isinstance(pack, dict):
        sys.exit(pack["msg"])  # The batch was refused as a whole.
    replies.update(pack)
for index in sorted(replies):
    print(json.dumps(replies[index]))
