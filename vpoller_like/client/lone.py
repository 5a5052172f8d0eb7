"""A request that goes alone: most often one message there and one back.

An idle connection carries it at once, and a success ends it. That is all that is done here,
and it is most of what a program that waits for each reply does; with anything else a
:class:`~.flight.Flight` goes on.
"""

from __future__ import annotations

from typing import Any

from vpoller_like.client.draft import Draft
from vpoller_like.client.flight import Flight, Sending
from vpoller_like.client.outcome import Envelope, success_in
from vpoller_like.client.policy import Policy, new_id
from vpoller_like.client.waiting import wait
from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import RequestError
from vpoller_like.protocol.reply import failure_fields
from vpoller_like.transport.requester import Channel, Requester

#: The request's key on its flight.
_KEY = 0


class Lone:
    """Asks for ``message`` at once; used by one thread or task, as a flight is.

    Raises ``TypeError`` where ``message`` is not a dict, ``RuntimeError`` where the requester is
    closed.
    """

    __slots__ = (
        "_channel",
        "_clock",
        "_draft",
        "_endpoint",
        "_flight",
        "_policy",
        "_requester",
        "_started",
        "_token",
        "envelope",
    )

    def __init__(
        self,
        requester: Requester,
        policy: Policy,
        message: dict[str, Any],
        clock: Clock = monotonic,
    ) -> None:
        self._started = clock()
        self._requester = requester
        self._policy = policy
        self._clock = clock
        #: The request's end, once it has been reached.
        self.envelope: Envelope | None = None
        self._flight: Flight | None = None
        #: What carries the first try, and is to be given back.
        self._channel: Channel | None = None
        self._endpoint = requester.preferred
        try:
            self._draft = Draft(message, new_id, policy.max_request)
        except RequestError as error:
            self.envelope = failure_fields(error)
            return
        try:
            if not self._is_sent():
                self._take_off()
        except BaseException:
            self.close()
            raise

    def turn(self) -> None:
        """Do all that can be done now."""
        if self._channel is not None:
            self._receive(self._channel)
        else:
            self._fly()

    def wait(self) -> None:
        """Wait until there may be something to do."""
        if self._channel is not None:
            self._channel.wait(self._until() - self._clock())
        else:
            wait(self.filenos(), self.patience())

    def filenos(self) -> list[int]:
        """Return the descriptors to wait for, valid until the next turn."""
        if self._channel is not None:
            return self._channel.filenos()
        return [] if self._flight is None else self._flight.filenos()

    def patience(self) -> float:
        """Return after how many seconds the next turn is due at the latest."""
        if self._channel is not None:
            return max(0.0, self._until() - self._clock())
        return 0.0 if self._flight is None else self._flight.patience()

    # The first try ----------------------------------------------------------------------

    def _until(self) -> float:
        return self._started + self._policy.timeout

    def _is_sent(self) -> bool:
        """Send the request by an idle channel, if there is one that is connected."""
        if not (self._policy.first_ending and self._draft.is_plain):
            return False
        channel = self._channel = self._requester.take_idle(self._endpoint)
        if channel is None:
            return False
        # Before it is sent: a connection that has ended takes messages for a millisecond yet.
        channel.look()
        ending = self._policy.ending(self._clock() - self._started)
        token = channel.send(self._draft.start + ending) if channel.connected else None
        if token is None:
            self._give_back(channel, clean=False)
            return False
        self._token = token
        # The descriptor tells of changes only: the last thing done is to find nothing.
        if channel.look() or not channel.connected:
            self._receive(channel)
        return True

    def _receive(self, channel: Channel) -> None:
        body = channel.reply_to(self._token)
        if body is None:
            if not channel.connected or channel.has_more or self._clock() >= self._until():
                self._join(channel, None)
            return
        envelope = success_in(body, self._draft.id)
        if envelope is None:
            self._join(channel, body)
            return
        self.envelope = envelope
        self._give_back(channel, clean=True)

    def _give_back(self, channel: Channel, *, clean: bool) -> None:
        self._channel = None
        self._requester.give_back(self._endpoint, channel, clean=clean)

    # All else ---------------------------------------------------------------------------

    def _take_off(self) -> None:
        """Go on with what could not be sent at once."""
        self._flight = Flight(self._requester, self._policy, self._clock)
        self._flight.take_off(_KEY, self._draft, self._started)
        self._fly()

    def _join(self, channel: Channel, reply: bytes | None) -> None:
        """Go on with what was sent, and answered by ``reply`` if anything."""
        self._channel = None
        self._flight = Flight(self._requester, self._policy, self._clock)
        sending = Sending(self._started, self._endpoint, channel, self._token, reply)
        self._flight.join(_KEY, self._draft, sending)
        self._fly()

    def _fly(self) -> None:
        if self._flight is not None:
            self._flight.turn()
            self.envelope = self._flight.landed.pop(_KEY, None)

    def close(self) -> None:
        """Give every channel back; one that still owes a reply is closed."""
        if self._channel is not None:
            self._give_back(self._channel, clean=False)
        if self._flight is not None:
            self._flight.close()
