"""Numbers that what is compiled goes by, too: no module that has such parts is imported here."""

from __future__ import annotations

from vpoller_like.errors import InvalidParams, TaskFailed, TooLarge

# What is slow, and what is quick --------------------------------------------------------

#: Seconds after which a run is no quick one.
SLOW_SECONDS = 0.005
#: A method that takes so many seconds at the most is brief.
BRIEF_SECONDS = 0.0002
#: A run shorter than this counts as this long, in seconds.
SHORTEST = 1e-6
#: Seconds for which a method counts after its last run.
MEMORY_SECONDS = 1.0

# What is given, and what waits ----------------------------------------------------------

#: Seconds of work that may wait here for a thread to become free.
AHEAD_SECONDS = 0.002
MAX_AHEAD = 256
#: Seconds that a result may wait for others to go with it.
FLUSH_SECONDS = 0.001

# What brokers hear ----------------------------------------------------------------------

#: Seconds between messages that tell nothing but a new grant.
GRANT_PAUSE = 0.005
#: Until WELCOME says otherwise, in seconds.
HEARTBEAT = 1.0
LIVENESS = 3.0

# Who leads -----------------------------------------------------------------------------

#: Seconds for which the baton lies before another thread takes it up; up to twice as long,
#: so that the alarm need not be set anew each time.
LEASE = 0.001
#: Seconds between two layings-down after which the alarm would ring in between.
RARE = 2 * LEASE
#: Seconds of brief tasks that the leader runs before it looks after the loop again.
SPELL = LEASE / 2
#: Seconds between two wakings of the loop while a thread finds more to do: a result may
#: wait this long for others, and a quick task does not pay for a switch of threads.
WAKE_SECONDS = 0.001

# What is kept ---------------------------------------------------------------------------

#: Bytes of a request that is let go of as soon as it has run.
LARGE = 64 * 1024
#: What a remembered result costs beside its body, in bytes.
REMEMBERED_BYTES = 512
#: Outcomes that say the task ran, and how it went; the empty code is a success. Any
#: other, such as ``busy``, asks to try again, and then it must run again.
REMEMBERED = frozenset(["", InvalidParams.code, TaskFailed.code, TooLarge.code])
