"""vSphere's values as JSON can hold them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import Any

from workers.vsphere.vmomi import support


def encode(value: Any) -> Any:
    """Return ``value`` as ``None``, ``bool``, ``int``, ``float``, ``str``, ``list`` or ``dict``.

    - A managed object becomes its reference, ``"VirtualMachine:vm-42"``.
    - A data object becomes a dict of its set properties, without those that are unset.
      Where an object is of another type than its place declares, as the devices of
      ``config.hardware.device`` are, ``_type`` names the type.
    - A time becomes ISO 8601, bytes become base64, a type or method its name.

    Raises ``TypeError`` for a value that is none of vSphere's.
    """
    plain = _PLAIN.get(type(value))
    if plain is not None:
        return plain(value)
    for kind, encoder in _BY_BASE:
        if isinstance(value, kind):
            return encoder(value)
    raise TypeError(f"a {type(value).__name__} is no value of vSphere's")


def reference(managed: Any) -> str:
    """Return the reference of a managed object: its type and id, ``"HostSystem:host-9"``."""
    return f"{managed._wsdlName}:{managed._moId}"


def _data_object(value: Any, declared: Any = None) -> dict[str, Any]:
    encoded = {} if declared in (None, type(value)) else {"_type": _type_name(type(value))}
    for prop in value._GetPropertyList():
        held = getattr(value, prop.name)
        if held is not None and prop.name not in _BOOKKEEPING:
            encoded[prop.name] = _as_declared(held, prop.type)
    return encoded


def _as_declared(value: Any, declared: Any) -> Any:
    if isinstance(value, support.DataObject):
        return _data_object(value, declared)
    if isinstance(value, list):
        return _array(value, declared)
    return encode(value)


def _array(value: Any, declared: Any = None) -> list[Any]:
    item_type = getattr(declared or type(value), "Item", None)
    return [_as_declared(item, item_type) for item in value]


def _time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _type_name(value: Any) -> str:
    return str(getattr(value, "_wsdlName", value.__name__))


def _method_name(value: Any) -> str:
    return str(value.info.wsdlName)


def _unchanged(value: Any) -> Any:
    return value


#: Properties that pyVmomi gives to every data object and every fault.
_BOOKKEEPING = frozenset({"dynamicType", "dynamicProperty", "faultCause", "faultMessage"})

_PLAIN: dict[type, Callable[[Any], Any]] = {
    type(None): _unchanged,
    bool: _unchanged,
    int: _unchanged,
    float: _unchanged,
    str: _unchanged,
    list: _array,
    datetime: _time,
    bytes: _bytes,
}

#: pyVmomi's enumerations and numbers are subclasses of Python's own.
_BY_BASE: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (support.DataObject, _data_object),
    (support.ManagedObject, reference),
    (support.ManagedMethod, _method_name),
    (list, _array),
    (str, str),
    (int, int),
    (float, float),
    (bytes, _bytes),
    (datetime, _time),
    (type, _type_name),
)
