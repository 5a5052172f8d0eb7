"""Numbers that what is compiled goes by, too: no module that has such parts is imported here."""

from __future__ import annotations

from vpoller_like.errors import InvalidParams, TaskFailed, TooLarge, WorkerLost

#: What a waiting task costs beside its body, in bytes.
WAITING_BYTES = 1024
#: What a remembered reply costs beside its body, in bytes.
REMEMBERED_BYTES = 512
#: Outcomes that the same id gets again; the empty code is a success.
REMEMBERED = frozenset(["", InvalidParams.code, TaskFailed.code, TooLarge.code, WorkerLost.code])
#: Deadlines are kept to this many seconds; nothing is due too early.
GRAIN = 0.02
#: Places of emptied buckets that are not worth a look.
SLACK = 64
#: Seconds of quick tasks that are given to one worker in a round before it is another one's turn:
#: to wake a worker takes about as long.
SPELL = 0.0002
#: Seconds that a worker may wait for its ACK, beside the time to the next tick.
PATIENCE = 2.0
#: RESULTS after which an ACK is due with the next tick.
MANY = 16
#: As it is after a result of so many bytes: the worker keeps them until then.
LARGE = 64 * 1024
#: Requests that are read in one turn of the loop, but for the rest of a batch: others are to
#: be served meanwhile.
TURN = 512
