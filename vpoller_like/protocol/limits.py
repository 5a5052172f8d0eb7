"""Sizes that both ends of a connection agree on, in bytes unless said otherwise."""

#: A request's body; configurable at the broker and at the client.
MAX_REQUEST = 1 << 20
#: A reply's body, enforced in the worker, which answers ``too_large`` instead.
MAX_REPLY = 16 << 20
#: A frame that a broker's frontend takes off the wire at all. A body between
#: MAX_REQUEST and this can be answered ``too_large``; beyond it the connection closes.
MAX_FRAME = 8 << 20
#: What a frame may hold beside the body that is the reason for it: a pack and its numbers.
FRAME_ROOM = 1 << 20
#: The largest body, of a request or of a reply, that any broker can be set to allow.
MAX_BODY = 64 << 20
#: Frames before the body, the delimiter included and the peer's routing id not;
#: configurable at the broker.
MAX_ENVELOPE_FRAMES = 8
#: The frames before the body together: they are kept with the task.
MAX_ENVELOPE_BYTES = 4096
#: A pack of tasks or results closes when its bodies reach this, or holds one item.
MAX_PACK = 256 << 10
#: What one worker offers, written as JSON: its methods with their parameters, and its hosts.
MAX_OFFERS = 1 << 20
#: Runs that one worker may bring along: far more than it can be given at once.
MAX_HELD = 1 << 16
#: Characters.
MAX_ID = 128
MAX_METHOD = 128
MAX_HOSTNAME = 255
MAX_LABEL = 128
MAX_TRACEPARENT = 256
#: Of a deadline, or an age.
MAX_MILLISECONDS = 1e12
