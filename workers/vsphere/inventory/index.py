"""Which objects have a name, a UUID or an id: a table, fed by whoever asks the vCenter."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from workers.vsphere.inventory.kinds import Kind, kind_of

#: Objects by id.
Objects = dict[str, Any]


class IndexFull(Exception):
    """There are more objects than the index may hold."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"there are more than {limit} objects")
        self.limit = limit


class Match(msgspec.Struct, frozen=True):
    """Objects, and the properties by which they were found (none: by their ids)."""

    managed: list[Any]
    keys: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.managed)


class NameIndex:
    """The names of objects, at most ``limit`` of them. Threads may share it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._objects: dict[Kind, Objects] = defaultdict(dict)
        self._values: dict[Any, dict[str, str]] = {}
        self._named: dict[tuple[Kind, str], dict[str, Objects]] = defaultdict(dict)

    def __len__(self) -> int:
        return len(self._values)

    def put(self, managed: Any, values: Mapping[str, str | None]) -> None:
        """Take in an object, or what is new of it; ``None`` is a property that got lost.

        Raises ``IndexFull``.
        """
        kind = kind_of(managed)
        if kind is None:
            return
        with self._lock:
            known = self._known(kind, managed)
            for key, value in values.items():
                self._change(kind, managed, known, key, value)

    def drop(self, managed: Any) -> None:
        """Forget an object."""
        kind = kind_of(managed)
        if kind is None:
            return
        with self._lock:
            known = self._values.pop((kind, managed._moId), {})
            self._objects[kind].pop(managed._moId, None)
            for key, value in known.items():
                self._unname(kind, managed, key, value)

    def exact(self, kind: Kind, texts: Iterable[str], keys: Iterable[str]) -> Match:
        """Return the objects of which one of ``keys`` is one of ``texts``; the first key that
        any object has speaks. Those whose id is the first of ``texts`` come with them.
        """
        texts = tuple(texts)
        with self._lock:
            by_id = self._objects[kind].get(texts[0])
            found = {texts[0]: by_id} if by_id is not None else {}
            for key in keys:
                held = self._holding(kind, key, texts)
                if held:
                    return Match(list({**held, **found}.values()), (key,))
        return Match(list(found.values()))

    def fitting(self, kind: Kind, fits: Callable[[str], bool]) -> Match:
        """Return the objects of which a name ``fits``."""
        found: Objects = {}
        with self._lock:
            for key in kind.keys:
                for value, objects in self._named[kind, key].items():
                    if fits(value):
                        found.update(objects)
        return Match(list(found.values()), kind.keys)

    def _known(self, kind: Kind, managed: Any) -> dict[str, str]:
        key = (kind, managed._moId)
        known = self._values.get(key)
        if known is None:
            if len(self._values) >= self._limit:
                raise IndexFull(self._limit)
            known = self._values[key] = {}
            # Without the connection by which it came, which may be long gone.
            self._objects[kind][managed._moId] = type(managed)(managed._moId)
        return known

    def _change(
        self, kind: Kind, managed: Any, known: dict[str, str], key: str, value: str | None
    ) -> None:
        if key in known:
            self._unname(kind, managed, key, known.pop(key))
        if value:
            known[key] = value
            objects = self._named[kind, key].setdefault(value, {})
            objects[managed._moId] = self._objects[kind][managed._moId]

    def _unname(self, kind: Kind, managed: Any, key: str, value: str) -> None:
        objects = self._named[kind, key].get(value, {})
        objects.pop(managed._moId, None)
        if not objects:
            self._named[kind, key].pop(value, None)

    def _holding(self, kind: Kind, key: str, texts: Iterable[str]) -> Objects:
        named = self._named[kind, key]
        # As it was given before as it may be meant.
        return next((named[text] for text in texts if text in named), {})
