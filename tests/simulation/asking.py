"""Every request that was ever sent, and whether what it says of itself is true.

The promise for ids holds for those who keep its terms: a request says ``moved`` where an
earlier send of its id went to another broker, and does not make itself younger than it is.
Who lies gets no promise; the simulated clients sometimes do, to see that nobody else suffers.
"""

from __future__ import annotations

from typing import Any

from tests.simulation.world import World
from vpoller_like.protocol.request import fingerprint

#: What is rounded in ``age_ms``, in seconds.
ROUNDING = 0.002

#: Whose id, and the id.
Key = tuple[str, str]


class Asked:
    """One send of one request. Times are monotonic seconds."""

    def __init__(
        self,
        fields: dict[str, Any],
        body: bytes,
        *,
        principal: str,
        client: bytes,
        broker: int,
        envelope: tuple[bytes, ...],
        now: float,
    ) -> None:
        meta = fields.get("meta") or {}
        self.method: str = fields["method"]
        self.body = body
        self.principal = principal
        self.client = client
        self.broker = broker
        self.envelope = envelope
        self.sent_at = now
        self.arrived_at = now
        self.id: str | None = meta.get("id")
        self.age_ms: float | None = meta.get("age_ms")
        self.moved: bool = meta.get("moved", False)
        self.deadline_ms: float | None = meta.get("deadline_ms")
        self.priority: int = meta.get("priority", 4)
        self.mark = b"" if self.id is None else fingerprint(body)
        #: What it was answered; None while it is not.
        self.code: str | None = None
        #: It was refused with the word that a lost worker may have run it: only what may run
        #: twice is, and that may then happen.
        self.in_doubt = False
        #: A broker said that it did not take this.
        self.refused = False

    @property
    def share(self) -> bytes:
        """Among whom the broker is fair: principals, or connections where there are none."""
        return self.principal.encode() or self.client

    @property
    def key(self) -> Key | None:
        """The id with its principal, where there is one."""
        return None if self.id is None else (self.principal, self.id)


class Registry:
    """Knows each send by its envelope. ``remembered`` is how long ids are, in seconds."""

    def __init__(self, world: World, remembered: float) -> None:
        self._world = world
        self._remembered = remembered
        self._sends: dict[Key, list[Asked]] = {}
        self._liars: set[Key] = set()
        self.by_envelope: dict[tuple[bytes, ...], Asked] = {}

    def sent(self, asked: Asked) -> None:
        """A request goes out."""
        self.by_envelope[asked.envelope] = asked
        key = asked.key
        if key is None:
            return
        if not self._is_true(asked):
            self._world.seen["untrue requests"] += 1
            self._liars.add(key)
        self._sends.setdefault(key, []).append(asked)

    def _is_true(self, asked: Asked) -> bool:
        assert asked.key is not None
        earlier = [a for a in self._sends.get(asked.key, ()) if not a.refused]
        if any(a.broker != asked.broker for a in earlier) and not asked.moved:
            return False
        if not earlier or asked.moved:
            return True
        age = self._world.now - earlier[0].sent_at
        said = self._remembered if asked.age_ms is None else asked.age_ms / 1000
        return said >= age - ROUNDING

    def is_true(self, key: Key) -> bool:
        """Say whether all that was said under this id so far was true."""
        return key not in self._liars

    def names_one_run(self, key: Key) -> bool:
        """Say whether the id was used for one body alone, and none of its tries is in doubt."""
        sends = self.sends(key)
        return len({a.mark for a in sends}) == 1 and not any(a.in_doubt for a in sends)

    def sends(self, key: Key) -> list[Asked]:
        """Return all sends under an id."""
        return self._sends.get(key, [])
