"""Reading what a client sent into a task's parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from vpoller_like.agent.compiled import compiled


@compiled
class Reader:
    """Reads the parameters ``given`` into a Struct, or without one leaves them as they are.

    Who derives from it knows how to say what is wrong with them (``_invalid``).
    """

    def __init__(
        self,
        harmless: frozenset[str],
        secret: frozenset[str],
        struct: type | None = None,
        prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        reads_keys: bool = False,
        keeps_null: frozenset[str] = frozenset(),
    ) -> None:
        #: Names of declared parameters that neither are secret nor sound so.
        self.harmless = harmless
        #: Names of the parameters that are secret.
        self.secret = secret
        self._struct = struct
        #: What makes of those ``given`` what is validated; see ``Params.prepare``.
        self._prepare = prepare
        #: Keys of objects are of another type than JSON's strings, perhaps. To allow for that
        #: takes twice as long as all the rest of reading most parameters.
        self._reads_keys = reads_keys
        self._keeps_null = keeps_null

    def read(self, given: dict[str, Any]) -> Any:
        """Return what the task's function gets; raise ``InvalidParams`` naming the field.

        The error may quote a secret value, where a Literal or the Struct's own check refuses
        it: it is for :func:`~.faults.answer_for` to hide, like any that a task raises.
        """
        if self._struct is None:
            return given
        if self._prepare is not None:
            given = self._prepare(given)
        if None in given.values():
            given = {
                key: value
                for key, value in given.items()
                if value is not None or key in self._keeps_null
            }
        try:
            if self._reads_keys:
                return msgspec.convert(given, self._struct, str_keys=True)
            return msgspec.convert(given, self._struct)
        except (msgspec.ValidationError, OverflowError, RecursionError) as error:
            raise self._invalid(error) from None

    def _invalid(self, error: Exception) -> Exception:
        raise NotImplementedError
