"""Sizes that both ends of a connection agree on, in bytes unless said otherwise."""

#: A request's body; configurable at the broker and at the client.
MAX_REQUEST = 1 << 20
#: A reply's body, enforced in the worker, which answers ``too_large`` instead.
MAX_REPLY = 16 << 20
#: A frame that a broker's frontend takes off the wire at all. A body between
#: MAX_REQUEST and this can be answered ``too_large``; beyond it the connection closes.
MAX_FRAME = 8 << 20
#: A frame between broker and workers: one reply, and the pack around it.
MAX_WORKER_FRAME = MAX_REPLY + (1 << 20)
#: Frames before the body, the delimiter included and the peer's routing id not.
MAX_ENVELOPE_FRAMES = 8
#: A pack of tasks or results closes when its bodies reach this, or holds one item.
MAX_PACK = 256 << 10
#: Characters.
MAX_ID = 128
MAX_METHOD = 128
MAX_HOSTNAME = 255
MAX_LABEL = 128
