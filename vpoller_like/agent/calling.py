"""Calling a task of one agent instance, and writing what it returns."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from vpoller_like.agent.answer import Answer
from vpoller_like.agent.compiled import compiled
from vpoller_like.agent.outcome import Outcome, too_large
from vpoller_like.protocol.encoding import JSON, Encoding
from vpoller_like.protocol.limits import MAX_REPLY

if TYPE_CHECKING:
    from vpoller_like.agent.agent import Agent
    from vpoller_like.agent.params import Schema
    from vpoller_like.agent.task import Task
    from vpoller_like.agent.writing import Writer


@compiled
class Calling:
    """A request's usual way through a task.

    Who derives from it does all else: it gets ready (``_make_ready``), runs requests that name
    a helper or secrets (``_run_warily``), and says what came of an error (``_failed``).
    """

    # Found sooner than in a dict, and there is one for each task of each host.
    __slots__ = ("_schema", "_writer", "agent", "task")

    _schema: Schema | None
    _writer: Writer

    def __init__(self, task: Task[Any, Any], agent: Agent) -> None:
        self.task = task
        self.agent = agent
        self._schema = None

    def run(
        self,
        params: dict[str, Any],
        encoding: Encoding = JSON,
        max_reply: int = MAX_REPLY,
        bare: bool = False,
    ) -> Outcome:
        """Run the task on decoded ``params`` and return its reply, in ``encoding``.

        Never raises, but for ``KeyboardInterrupt`` and ``SystemExit``. A reply beyond
        ``max_reply`` bytes becomes ``too_large``. Where ``params`` name a helper its text is
        the whole reply, if that is to be ``bare``, or else the result in it.
        """
        schema = self._schema or self._make_ready()
        if not schema.harmless.issuperset(params):
            return self._run_warily(schema, params, encoding, max_reply, bare)
        return self._within(max_reply, self._outcome(schema, params, encoding, ()), encoding)

    def _within(self, limit: int, outcome: Outcome, encoding: Encoding) -> Outcome:
        size = len(outcome.body)
        return outcome if size <= limit else too_large(size, self.task.name, encoding, limit)

    def _outcome(
        self,
        schema: Schema,
        params: dict[str, Any],
        encoding: Encoding,
        secrets: Collection[str],
    ) -> Outcome:
        """Call the function. ``secrets`` are those that ``params`` hold, where that is known."""
        task = self.task
        try:
            result: Any = task.function(self.agent, schema.read(params))
            msg = task.msg
            if isinstance(result, Answer):
                result, msg = result.result, result.msg
            return Outcome("", self._writer.write(result, msg, encoding))
        except BaseException as error:
            return self._failed(error, schema, params, encoding, secrets)

    def _make_ready(self) -> Schema:
        raise NotImplementedError

    def _run_warily(
        self,
        schema: Schema,
        params: dict[str, Any],
        encoding: Encoding,
        max_reply: int,
        bare: bool,
    ) -> Outcome:
        raise NotImplementedError

    def _failed(
        self,
        error: BaseException,
        schema: Schema,
        params: dict[str, Any],
        encoding: Encoding,
        secrets: Collection[str],
    ) -> Outcome:
        raise NotImplementedError
