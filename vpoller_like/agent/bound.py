"""A task of one agent instance: calling it, with every ending turned into a reply."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vpoller_like.agent.calling import Calling
from vpoller_like.agent.faults import answer_for
from vpoller_like.agent.helpers import PARAMETER, Asked, Helper, find, text_of
from vpoller_like.agent.outcome import Outcome, refused
from vpoller_like.agent.secrets import hide_in
from vpoller_like.agent.vault import VAULT
from vpoller_like.agent.writing import Writer
from vpoller_like.errors import BadRequest, ProtocolError, VPollerError
from vpoller_like.protocol.encoding import JSON, Encoding, decode_object, encode
from vpoller_like.protocol.reply import success, write_text
from vpoller_like.protocol.request import parameters

if TYPE_CHECKING:
    from vpoller_like.agent.params import Schema

P = TypeVar("P")
R = TypeVar("R")


class BoundTask(Calling, Generic[P, R]):
    """``agent.vm_get``: callable as on the wire, and ``.function`` as plain Python."""

    __slots__ = ()

    def __call__(self, msg: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run the task on ``msg``, its parameters, and return the reply's envelope.

        Both go through JSON, so that this is what a client gets over the wire. Errors
        come back as an envelope with ``success`` 1; nothing is raised. With ``helper`` in
        ``msg``, the result is that helper's text.
        """
        try:
            fields = on_the_wire({} if msg is None else msg)
        except VPollerError as error:
            return decode_object(refused(error, JSON).body)
        return decode_object(self.run(parameters(fields)).body)

    def function(self, params: P) -> R:
        """Call the function itself: ``params`` as it takes them, its bare result or error."""
        result: R = self.task.function(self.agent, params)
        return result

    def _run_warily(
        self,
        schema: Schema,
        params: dict[str, Any],
        encoding: Encoding,
        max_reply: int,
        bare: bool,
    ) -> Outcome:
        odd = next((name for name in params if not isinstance(name, str)), None)
        if odd is not None:
            # As MessagePack has them, and JSON has not.
            kind = type(odd).__name__
            return refused(
                BadRequest(f"the parameter {odd!r:.80} is named by {kind}; write its name as text"),
                encoding,
            )
        if PARAMETER in params and not schema.declares(PARAMETER):
            return self._helped(params, encoding, max_reply, bare)
        if not schema.has_secrets(params):
            outcome = self._outcome(schema, params, encoding, ())
        else:
            # Now: the task may take its parameters apart.
            secrets = schema.secrets(params)
            with VAULT.guarding(secrets):
                outcome = self._outcome(schema, params, encoding, secrets)
        return self._within(max_reply, outcome, encoding)

    def _helped(
        self, params: dict[str, Any], encoding: Encoding, max_reply: int, bare: bool
    ) -> Outcome:
        """Do what :meth:`run` says of a helper, which ``params`` may name."""
        name = params[PARAMETER]
        rest = {key: value for key, value in params.items() if key != PARAMETER}
        try:
            helper = find(name)
        except VPollerError as error:
            return refused(error, encoding)
        if helper is None:
            return self.run(rest, encoding, max_reply)
        schema = self.task.schema
        # Now: the task may take its parameters apart.
        asked = Asked(name, self.task.name, schema.shown(rest), schema.secrets(rest))
        outcome = self.run(rest, encoding, max_reply)
        if outcome.code and not bare:
            return outcome
        return self._within(max_reply, _in_words(outcome, helper, asked, encoding, bare), encoding)

    def _make_ready(self) -> Schema:
        # Not sooner: most are bound for other reasons than to be run.
        self._writer = Writer(self.agent.encode_value)
        self._schema = schema = self.task.schema
        return schema

    def _failed(
        self,
        error: BaseException,
        schema: Schema,
        params: dict[str, Any],
        encoding: Encoding,
        secrets: Collection[str],
    ) -> Outcome:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise _discreet(error, secrets) from None
        secrets = secrets or schema.secrets(params)
        return refused(answer_for(error, self.task.name, secrets), encoding)


def _in_words(
    outcome: Outcome, helper: Helper, asked: Asked, encoding: Encoding, bare: bool
) -> Outcome:
    """Return ``outcome`` with the text that ``helper`` makes of it."""
    try:
        envelope = decode_object(outcome.body)
        with VAULT.guarding(asked.secrets):
            text = text_of(helper, asked, envelope)
    except VPollerError as error:
        return refused(error, encoding)
    if bare:
        return Outcome(outcome.code, write_text(text, encoding))
    return Outcome(outcome.code, success(text, envelope["msg"], encoding))


def _discreet(error: BaseException, secrets: Collection[str]) -> BaseException:
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else SystemExit
    return kind(*hide_in(error.args, secrets))


def on_the_wire(fields: Any) -> dict[str, Any]:
    """Return a request's ``fields`` as they arrive at the other end of a wire.

    Raises ``BadRequest`` where they cannot be written, ``ProtocolError`` for no object.
    """
    try:
        body = encode(fields, JSON)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(f"the request cannot be written as JSON: {error}") from error
    try:
        return decode_object(body)
    except ProtocolError as error:
        raise BadRequest(error.message) from error
