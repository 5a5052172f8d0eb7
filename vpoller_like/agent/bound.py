"""A task of one agent instance: calling it, with every ending turned into a reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vpoller_like.agent.answer import Answer
from vpoller_like.agent.faults import answer_for
from vpoller_like.agent.helpers import PARAMETER, Asked, Helper, find, text_of
from vpoller_like.agent.outcome import Outcome, refused, too_large
from vpoller_like.agent.results import Writer
from vpoller_like.agent.secrets import hide_in
from vpoller_like.agent.vault import VAULT
from vpoller_like.errors import BadRequest, ProtocolError, VPollerError
from vpoller_like.protocol.encoding import Encoding, decode_object, encode
from vpoller_like.protocol.limits import MAX_REPLY
from vpoller_like.protocol.reply import success, write_text
from vpoller_like.protocol.request import parameters

if TYPE_CHECKING:
    from vpoller_like.agent.agent import Agent
    from vpoller_like.agent.params import Schema
    from vpoller_like.agent.task import Task

P = TypeVar("P")
R = TypeVar("R")


class BoundTask(Generic[P, R]):
    """``agent.vm_get``: callable as on the wire, and ``.function`` as plain Python."""

    # Found sooner than in a dict, and there is one for each task of each host.
    __slots__ = ("_schema", "_writer", "agent", "task")

    _writer: Writer

    def __init__(self, task: Task[P, R], agent: Agent) -> None:
        self.task = task
        self.agent = agent
        self._schema: Schema | None = None

    def __call__(self, msg: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run the task on ``msg``, its parameters, and return the reply's envelope.

        Both go through JSON, so that this is what a client gets over the wire. Errors
        come back as an envelope with ``success`` 1; nothing is raised. With ``helper`` in
        ``msg``, the result is that helper's text.
        """
        try:
            fields = on_the_wire({} if msg is None else msg)
        except VPollerError as error:
            return decode_object(refused(error, Encoding.JSON).body)
        return decode_object(self.run(parameters(fields)).body)

    def function(self, params: P) -> R:
        """Call the function itself: ``params`` as it takes them, its bare result or error."""
        return self.task.function(self.agent, params)

    def run(
        self,
        params: dict[str, Any],
        encoding: Encoding = Encoding.JSON,
        max_reply: int = MAX_REPLY,
        bare: bool = False,
    ) -> Outcome:
        """Run the task on decoded ``params`` and return its reply, in ``encoding``.

        Never raises, but for ``KeyboardInterrupt`` and ``SystemExit``. A reply beyond
        ``max_reply`` bytes becomes ``too_large``. Where ``params`` name a helper its text is
        the whole reply, if that is to be ``bare``, or else the result in it.
        """
        schema = self._schema or self._make_ready()
        if schema.harmless.issuperset(params):
            outcome = self._outcome(schema, params, encoding, [])
        elif PARAMETER in params and not schema.declares(PARAMETER):
            return self._helped(params, encoding, max_reply, bare)
        elif not schema.has_secrets(params):
            outcome = self._outcome(schema, params, encoding, [])
        else:
            # Now: the task may take its parameters apart.
            secrets = schema.secrets(params)
            with VAULT.guarding(secrets):
                outcome = self._outcome(schema, params, encoding, secrets)
        size = len(outcome.body)
        if size > max_reply:
            return too_large(size, self.task.name, encoding, max_reply)
        return outcome

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
        outcome = _in_words(outcome, helper, asked, encoding, bare)
        size = len(outcome.body)
        return outcome if size <= max_reply else too_large(size, asked.method, encoding, max_reply)

    def _make_ready(self) -> Schema:
        # Not sooner: most are bound for other reasons than to be run.
        self._writer = Writer(self.agent.encode_value)
        self._schema = schema = self.task.schema
        return schema

    def _outcome(
        self, schema: Schema, params: dict[str, Any], encoding: Encoding, secrets: list[str]
    ) -> Outcome:
        task = self.task
        try:
            result: Any = task.function(self.agent, schema.read(params))
            msg = task.msg
            if isinstance(result, Answer):
                result, msg = result.result, result.msg
            return Outcome("", self._writer.write(result, msg, encoding))
        except (KeyboardInterrupt, SystemExit) as error:
            raise _discreet(error, secrets) from None
        except BaseException as error:
            secrets = secrets or schema.secrets(params)
            return refused(answer_for(error, task.name, secrets), encoding)


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


def _discreet(error: BaseException, secrets: list[str]) -> BaseException:
    kind = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else SystemExit
    return kind(*hide_in(error.args, secrets))


def on_the_wire(fields: Any) -> dict[str, Any]:
    """Return a request's ``fields`` as they arrive at the other end of a wire.

    Raises ``BadRequest`` where they cannot be written, ``ProtocolError`` for no object.
    """
    try:
        body = encode(fields, Encoding.JSON)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(f"the request cannot be written as JSON: {error}") from error
    try:
        return decode_object(body)
    except ProtocolError as error:
        raise BadRequest(error.message) from error
