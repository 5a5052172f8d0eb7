"""What ``vpoller doctor`` finds wrong with the database of hosts; nothing is contacted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vpoller_like.errors import ConfigError
from workers.vsphere.hosts.keeper import Keeper, check
from workers.vsphere.hosts.record import Record


def complaints(section: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each host that could not be served as it is.

    ``section`` is the agent's. Raises ``ConfigError`` where the database cannot be read.
    """
    keeper = Keeper(section)
    records = [record for record in keeper.store.all() if record.enabled]
    if any(record.source.kind == "encrypted" for record in records):
        try:
            keeper.key.require()
        except ConfigError as error:
            yield error.message  # once, and not for each host
            return
    for record in records:
        yield from _of_host(keeper, record)


def _of_host(keeper: Keeper, record: Record) -> Iterator[str]:
    try:
        check(record.settings)
        if _is_readable_here(record):
            keeper.password_of(record)
    except ConfigError as error:
        yield f"{record.host}: {error.message}"


def _is_readable_here(record: Record) -> bool:
    """Say whether looking is harmless, and tells what a worker would find."""
    if record.source.kind == "file":
        return not record.is_foreign
    # The environment is the worker's, and a command may ask somebody.
    return record.source.kind == "encrypted"
