"""Requests on their way: exchanges, and the channels that carry them.

Nothing here blocks. A driver calls :meth:`Flight.turn`, and in between waits until one of
:meth:`Flight.filenos` is readable or :meth:`Flight.patience` is over. That wait is all in
which the synchronous and the asynchronous client differ.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

from vpoller_like.client.draft import Draft
from vpoller_like.client.lane import Lane, Leg, Parcel, Room, together
from vpoller_like.client.outcome import Envelope, Refusal, is_success, refusal_of, success_in
from vpoller_like.client.policy import Done, Policy, Try, Wait, new_id
from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import ProtocolError, RequestError, Unreachable
from vpoller_like.protocol.batch import parse_replies, read_replies
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.reply import failure_fields
from vpoller_like.transport.requester import Channel, Reply, Requester


class Sending(NamedTuple):
    """What was sent, when, and how; and what was answered, if anything."""

    at: float
    endpoint: int
    channel: Channel
    token: bytes
    reply: bytes | None


class Flight:
    """Carries any number of requests at once; used by one thread or task."""

    def __init__(self, requester: Requester, policy: Policy, clock: Clock = monotonic) -> None:
        self._requester = requester
        self._policy = policy
        self._clock = clock
        self._legs: dict[Hashable, Leg] = {}
        #: The lane that new requests take, by endpoint; the others only finish.
        self._current: dict[int, Lane] = {}
        self._lanes: list[Lane] = []
        #: What each endpoint takes in one message.
        self._rooms = [Room(bytes=min(MAX_PACK, policy.max_request))] * len(policy.endpoints)
        #: Something was done that a lane has to be looked at for.
        self._is_moving = False
        #: Nothing runs out before this.
        self._due = math.inf
        #: What has ended, by the key it was launched with; the driver takes it out.
        self.landed: dict[Hashable, Envelope] = {}

    def __len__(self) -> int:
        """Return how many requests are in the air."""
        return len(self._legs)

    def launch(self, key: Hashable, message: dict[str, Any]) -> None:
        """Start a request; its envelope will be ``landed[key]``.

        Raises ``TypeError`` where ``message`` is not a dict.
        """
        try:
            draft = Draft(message, new_id, self._policy.max_request)
        except RequestError as error:
            self.landed[key] = failure_fields(error)
            return
        self.take_off(key, draft, self._clock())

    def take_off(self, key: Hashable, draft: Draft, now: float) -> None:
        """Start a request that has been written."""
        endpoint = self._requester.preferred
        leg = self._legs[key] = Leg(key, self._policy, draft, now, endpoint)
        if not leg.begin():
            self._proceed(leg, now)
            return
        if leg.until < self._due:
            self._due = leg.until
        self._board(leg, endpoint)

    def join(self, key: Hashable, draft: Draft, sending: Sending) -> None:
        """Carry on a request that was sent at once, by a channel that was idle.

        The channel is the flight's from now on.
        """
        leg = self._legs[key] = Leg(key, self._policy, draft, sending.at, sending.endpoint)
        leg.begin()
        lane = leg.lane = self._opened(sending.endpoint, sending.channel)
        parcel = lane.sent[sending.token] = Parcel(sending.token, [leg], 0)
        leg.depart(parcel, 0, sending.at)
        self._await(leg, leg.until)
        if sending.reply is not None:
            self._land(lane, Reply(sending.token, sending.reply), self._clock())

    def turn(self) -> None:
        """Do all that can be done now.

        First what has arrived, then what has run out: a reply that lay waiting while the
        caller was elsewhere counts.
        """
        now = self._clock()
        self._serve(now)
        if now >= self._due:
            self._expire(now)
            self._serve(now)

    def filenos(self) -> list[int]:
        """Return the descriptors to wait for, valid until the next turn."""
        return [fileno for lane in self._lanes for fileno in lane.channel.filenos()]

    def patience(self) -> float:
        """Return after how many seconds the next turn is due at the latest."""
        if any(lane.channel.has_more for lane in self._lanes):
            return 0.0
        return max(0.0, self._due - self._clock())

    # One request's next step ------------------------------------------------------------

    def _proceed(self, leg: Leg, now: float) -> None:
        leg.lane = leg.parcel = None
        leg.is_trying = False
        action = leg.exchange.next_action(now)
        match action:
            case Done(envelope):
                self._touch_down(leg, envelope)
            case Wait(until):
                self._await(leg, until)
            case Try(endpoint, connect_until, until):
                leg.is_trying = True
                leg.reply_until = until
                self._await(leg, connect_until)
                self._board(leg, endpoint)

    def _await(self, leg: Leg, until: float) -> None:
        leg.until = until
        if until < self._due:
            self._due = until

    def _board(self, leg: Leg, endpoint: int) -> None:
        """Put ``leg`` on the current lane; where none can be opened, it waits in vain."""
        leg.reason = ""
        try:
            leg.lane = self._lane(endpoint)
        except Unreachable as error:
            leg.reason = error.message
            return
        leg.lane.boarding[leg.key] = leg
        self._is_moving = True

    # Lanes ------------------------------------------------------------------------------

    def _lane(self, endpoint: int) -> Lane:
        lane = self._current.get(endpoint)
        if lane is None:
            lane = self._opened(endpoint, self._requester.take(endpoint))
        return lane

    def _opened(self, endpoint: int, channel: Channel) -> Lane:
        lane = self._current[endpoint] = Lane(endpoint, channel)
        self._lanes.append(lane)
        return lane

    def _serve(self, now: float) -> None:
        # Until nothing moves: a descriptor tells of changes only, so the last thing done to
        # each socket must be to find nothing there.
        self._is_moving = True
        while self._is_moving:
            self._is_moving = False
            for lane in tuple(self._lanes):
                self._serve_lane(lane, now)
        for lane in tuple(self._lanes):
            if lane.is_empty and self._current.get(lane.endpoint) is not lane:
                self._leave(lane, clean=False)

    def _serve_lane(self, lane: Lane, now: float) -> None:
        # A lone request on an idle channel is sent first and looked after then.
        if lane.channel.connected and not lane.sent:
            self._send(lane, now)
            if lane.sent:
                return
        for reply in lane.channel.receive():
            self._land(lane, reply, now)
        if lane.channel.connected:
            self._send(lane, now)
        elif lane.channel.refusal:
            self._turn_away(lane, now)
        else:
            self._lose(lane, now)

    # What is sent, and what comes back ---------------------------------------------------

    def _send(self, lane: Lane, now: float) -> None:
        """Send what boards, but for what has run out."""
        boarding = [leg for leg in lane.boarding.values() if leg.reply_until > now]
        for legs, bodies in together(boarding, now, self._rooms[lane.endpoint]):
            self._is_moving = True
            parcel = lane.send(legs, bodies)
            if parcel is None:
                return
            for place, leg in enumerate(legs):
                # Later than what it was waited for until now: nothing runs out earlier.
                leg.depart(parcel, place, now)
                del lane.boarding[leg.key]

    def _land(self, lane: Lane, reply: Reply, now: float) -> None:
        parcel = lane.sent.get(reply.token)
        if parcel is None:
            return
        if parcel.is_batch:
            self._unpack(lane, parcel, reply.body, now)
            return
        leg = parcel.legs[0]
        envelope = success_in(reply.body, leg.draft.id)
        if envelope is not None:
            lane.settle(parcel, 0)
            self._arrive(lane, leg, envelope)
        elif leg.exchange.on_reply(reply.body, now):
            self._settle(lane, parcel, 0, now)

    def _unpack(self, lane: Lane, parcel: Parcel, body: bytes, now: float) -> None:
        """Take a pack of replies, or the one that a batch gets as a whole.

        What is no pack is passed over, as is a place that is not there or was answered: who
        gets no answer is asked again in his own time.
        """
        try:
            pairs = _read(body)
        except ProtocolError:
            return
        if pairs is None:
            self._take_back(lane, parcel, body, now)
            return
        for place, value in pairs:
            leg = parcel.legs.get(place)
            if leg is None:
                continue
            if is_success(value, leg.draft.id):
                lane.settle(parcel, place)
                self._arrive(lane, leg, value)
            elif _is_settled(leg, value, now):
                self._settle(lane, parcel, place, now)

    def _settle(self, lane: Lane, parcel: Parcel, place: int, now: float) -> None:
        """The try of the request there is over."""
        leg = parcel.legs[place]
        lane.settle(parcel, place)
        envelope = leg.exchange.envelope
        if envelope is None:
            self._proceed(leg, now)
        else:
            self._arrive(lane, leg, envelope)

    def _arrive(self, lane: Lane, leg: Leg, envelope: Envelope) -> None:
        """This is a request's answer, by this lane."""
        self._requester.preferred = lane.endpoint
        del self._legs[leg.key]
        self.landed[leg.key] = envelope

    def _touch_down(self, leg: Leg, envelope: Envelope) -> None:
        del self._legs[leg.key]
        self.landed[leg.key] = envelope

    def _take_back(self, lane: Lane, parcel: Parcel, body: bytes, now: float) -> None:
        """The batch was answered as a whole, which counts for each of its requests.

        But where it was the batch that was wrong, smaller ones are sent: the broker takes
        fewer requests at once than we send, or knows no batches.
        """
        refusal = refusal_of(body)
        if refusal is not None:
            self._send_less(lane, parcel, refusal)
            return
        for place in tuple(parcel.legs):
            if parcel.legs[place].exchange.on_reply(body, now):
                self._settle(lane, parcel, place, now)

    def _send_less(self, lane: Lane, parcel: Parcel, refusal: Refusal) -> None:
        """Send what was refused again, in smaller messages; nothing of it was taken."""
        room = self._rooms[lane.endpoint]
        if parcel.fits(room):
            self._rooms[lane.endpoint] = room.smaller(*refusal)
        for leg in parcel.legs.values():
            leg.exchange.on_turned_back()
            leg.parcel = None
            lane.boarding[leg.key] = leg
        del lane.sent[parcel.token]
        self._is_moving = True

    def _lose(self, lane: Lane, now: float) -> None:
        """The connection of what was sent broke: its replies cannot come any more."""
        if not lane.sent:
            return
        self._is_moving = True
        self._retire(lane)
        stranded, waiting = lane.cleared(), list(lane.boarding.values())
        lane.boarding.clear()
        for leg in stranded:
            leg.exchange.on_loss(now)
            self._proceed(leg, now)
        for leg in waiting:
            self._board(leg, lane.endpoint)

    def _turn_away(self, lane: Lane, now: float) -> None:
        """The broker lets nobody in by this lane."""
        refused = list(lane.boarding.values())
        self._retire(lane)
        lane.boarding.clear()
        for leg in refused:
            leg.exchange.on_refused(lane.channel.refusal)
            self._proceed(leg, now)

    def _retire(self, lane: Lane) -> None:
        """Use neither this lane nor idle channels to its endpoint for anything new."""
        if self._current.get(lane.endpoint) is lane:
            del self._current[lane.endpoint]
            self._requester.discard(lane.endpoint)

    def _leave(self, lane: Lane, *, clean: bool) -> None:
        self._lanes.remove(lane)
        self._requester.give_back(lane.endpoint, lane.channel, clean=clean)

    # Time -------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        for leg in list(self._legs.values()):
            if leg.until <= now:
                self._run_out(leg, now)
        self._due = min((leg.until for leg in self._legs.values()), default=math.inf)

    def _run_out(self, leg: Leg, now: float) -> None:
        if leg.lane is not None:
            self._retire(leg.lane)
            leg.lane.boarding.pop(leg.key, None)
        if leg.parcel is not None and leg.lane is not None:
            leg.lane.settle(leg.parcel, leg.place)
            leg.exchange.on_silence()
        elif leg.is_trying:
            hint = leg.lane.channel.hint if leg.lane is not None else ""
            leg.exchange.on_unconnected(leg.reason, hint)
        self._proceed(leg, now)

    # The end ----------------------------------------------------------------------------

    def close(self) -> None:
        """Give every channel back; those that still owe a reply are closed."""
        for lane in self._lanes.copy():
            usable = lane.is_empty and self._current.get(lane.endpoint) is lane
            self._leave(lane, clean=usable)
        self._current.clear()
        self._legs.clear()
        self._due = math.inf

    def __enter__(self) -> Flight:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(body: bytes) -> Sequence[tuple[int, Any]] | None:
    """Return the pairs in a pack; with their bytes where not all of them can be decoded."""
    try:
        return read_replies(body)
    except ProtocolError:
        return parse_replies(body)


def _is_settled(leg: Leg, value: Any, now: float) -> bool:
    """Hand ``value``, a reply or its bytes, to its request; say whether its try is over."""
    if isinstance(value, bytes):
        return leg.exchange.on_reply(value, now)
    return leg.exchange.on_value(value, now)
