"""A method's call, as the request that it is on the wire."""

from __future__ import annotations

from typing import Any


def message_of(method: str, hostname: str | None, params: dict[str, Any]) -> dict[str, Any]:
    """Return the request for a call of ``method``.

    Raises ``TypeError`` for a parameter named ``method``: on the wire that is the method.
    """
    if "method" in params:
        raise TypeError("a method cannot have a parameter named 'method'")
    message = {"method": method, **params}
    if hostname is not None:
        message["hostname"] = hostname
    return message
