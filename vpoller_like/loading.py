"""From what was given, in any place, to checked :class:`~vpoller_like.config.Settings`.

Each key is taken from the most important place that gives it: a flag, then the
environment (``VPOLLER_SECTION_KEY``), then the file named by ``--config`` or
``$VPOLLER_CONFIG``, ``./vpoller.toml``, ``$XDG_CONFIG_HOME/vpoller/vpoller.toml``,
``/etc/vpoller/vpoller.toml``, and at last the default.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from typing import Any, get_args, get_origin

import msgspec

from vpoller_like.config import Endpoint, MaybeEndpoint, Settings
from vpoller_like.errors import ConfigError
from vpoller_like.sources import (
    FILE_VARIABLE,
    OPEN_SECTION,
    PREFIX,
    PURE_VARIABLE,
    Given,
    KeyPath,
    Layer,
    Origin,
    dotted,
    environment_layer,
    file_layers,
    flag_layer,
)


class Loaded:
    """The settings; and, by dotted key, each value and where it came from, if it is asked."""

    def __init__(self, settings: Settings, given: Layer) -> None:
        self.settings = settings
        self._given = given

    @cached_property
    def values(self) -> dict[str, Any]:
        """Return the value of each key."""
        return {dotted(key): given.value for key, given in self._given.items()}

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """Return where the value of each key was given."""
        return {dotted(key): given.origin for key, given in self._given.items()}


def load(
    config: str | os.PathLike[str] | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] = "",
    layers: Iterable[Layer] = (),
) -> Loaded:
    """Gather the settings of this process.

    ``config`` is a file named by the user; ``flags`` maps ``section.key`` to what was said
    on the command line, ``None`` where nothing was. ``environ`` and ``cwd`` are the process's
    own unless given. ``layers`` are read from files of other kinds, and go before our own.
    Raises ``ConfigError`` naming the key, the place and what is expected there; an unknown key
    or variable is one, and the nearest known one is named.
    """
    environ = os.environ if environ is None else environ
    _refuse_unknown_variables(environ)
    given = [
        *file_layers(config, environ, cwd),
        *layers,
        environment_layer(environ, variables()),
        flag_layer(flags or {}),
    ]
    return settle(given)


def settle(layers: Iterable[Layer]) -> Loaded:
    """Return the settings that these ``layers`` alone give, the last one counting most.

    Raises ``ConfigError`` as :func:`load` does.
    """
    merged = _merge(_defaults(), (_checked(layer) for layer in layers))
    settings = _settings(_nested(merged))
    _check_together(settings, merged)
    return Loaded(settings, merged)


@cache
def known_keys() -> tuple[KeyPath, ...]:
    """Return every key of the closed sections, in the order of their declaration."""
    return tuple(
        (section, name)
        for section, kind in _closed_sections().items()
        for name in kind.__struct_fields__
    )


def variables() -> dict[str, KeyPath]:
    """Return every environment variable that sets a key, with the key."""
    return {PREFIX + "_".join(key).upper(): key for key in known_keys()}


@cache
def _closed_sections() -> dict[str, type[Any]]:
    defaults = Settings()
    return {
        name: type(getattr(defaults, name))
        for name in Settings.__struct_fields__
        if name != OPEN_SECTION
    }


@cache
def _types(section: str) -> dict[str, Any]:
    # Of a section in which something is given: finding them out takes a while.
    fields = msgspec.structs.fields(_closed_sections()[section])
    return {field.name: field.type for field in fields}


def _defaults() -> Layer:
    settings = Settings()
    return {
        (section, name): Given(getattr(getattr(settings, section), name), Origin())
        for section, name in known_keys()
    }


def _settings(tables: dict[str, Any]) -> Settings:
    """Build the settings of values that are checked, so that nothing is checked twice."""
    sections = {name: kind(**tables[name]) for name, kind in _closed_sections().items()}
    return Settings(**sections, agents=tables.get(OPEN_SECTION, {}))


def _merge(defaults: Layer, layers: Iterable[Layer]) -> Layer:
    """Lay ``layers`` over the defaults and each other, key by key; the last one wins."""
    merged = dict(defaults)
    for layer in layers:
        for key, given in layer.items():
            if given.value == {} and any(other[: len(key)] == key for other in merged):
                continue  # an empty table takes nothing away from one that is filled
            for other in [other for other in merged if _excludes(key, other)]:
                del merged[other]
            merged[key] = given
    return merged


def _excludes(key: KeyPath, other: KeyPath) -> bool:
    """Say whether one key is a table that holds the other: both cannot have a value."""
    shorter = min(len(key), len(other))
    return len(key) != len(other) and key[:shorter] == other[:shorter]


def _nested(layer: Layer) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for (*parents, name), given in layer.items():
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[name] = given.value
    return tables


def _checked(layer: Layer) -> Layer:
    return {
        key: Given(_value(key, given), given.origin)
        for key, given in layer.items()
        if not _is_empty_section(key, given)
    }


def _is_empty_section(key: KeyPath, given: Given) -> bool:
    return len(key) == 1 and key[0] in _sections() and given.value == {}


def _value(key: KeyPath, given: Given) -> Any:
    """Return the given value as its type; raise ``ConfigError`` where it is not of it."""
    if key[0] == OPEN_SECTION:
        return _agent_value(key, given)
    if key not in known_keys():
        raise ConfigError(_unknown_key(key, given.origin))
    expected = _types(key[0])[key[1]]
    value, text = given.value, given.origin.kind != "file"
    if text and isinstance(value, str) and get_origin(expected) is list:
        value = [item.strip() for item in value.split(",") if item.strip()]
    try:
        return msgspec.convert(value, expected, strict=not text)
    except msgspec.ValidationError as error:
        raise ConfigError(
            f"{dotted(key)}: {_expectation(expected, error)}, got {given.value!r} "
            f"({given.origin}); correct it there"
        ) from error


def _agent_value(key: KeyPath, given: Given) -> Any:
    if len(key) < 3 and not isinstance(given.value, dict):
        raise ConfigError(
            f"{dotted(key)}: expected a section such as [agents.system], "
            f"got a {type(given.value).__name__} ({given.origin}); correct it there"
        )
    return given.value


def _expectation(expected: Any, error: msgspec.ValidationError) -> str:
    endpoints = {Endpoint, MaybeEndpoint} & {expected, *get_args(expected)}
    if "regex" in str(error) and endpoints:
        return "expected an endpoint such as tcp://127.0.0.1:10123 or ipc:///run/vpoller.sock"
    text = str(error).partition(",")[0].partition(" - at")[0]
    return text.replace("`", "").replace("Expected array", "expected a list").replace("E", "e", 1)


def _sections() -> list[str]:
    return list(Settings.__struct_fields__)


def _unknown_key(key: KeyPath, origin: Origin) -> str:
    if len(key) == 1 and key[0] in _sections():
        return f"{key[0]}: expected a section [{key[0]}] ({origin}); write its keys under it"
    near = _nearest_key(key)
    return f"unknown key {dotted(key)} ({origin}); did you mean {near}?"


def _nearest_key(key: KeyPath) -> str:
    """Name the key meant: in the section that is there, or that is spelt nearly so."""
    misplaced = [known for known in known_keys() if known[-1] == key[-1]]
    section = key[0] if key[0] in _sections() else None
    if misplaced and (section is None or not _near(key[-1], _names(section))):
        return dotted(misplaced[0])
    if section is None:
        section = _nearest(key[0], _sections())
    if section == OPEN_SECTION or len(key) == 1:
        return f"[{section}]"
    return f"{section}.{_nearest(key[1], _names(section))}"


def _names(section: str) -> list[str]:
    return [known[1] for known in known_keys() if known[0] == section]


def _near(name: str, choices: list[str], cutoff: float = 0.6) -> list[str]:
    # Only an error needs it.
    import difflib

    return difflib.get_close_matches(name.lower(), choices, 1, cutoff)


def _nearest(name: str, choices: list[str]) -> str:
    return _near(name, choices, cutoff=0.0)[0]


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = {*variables(), FILE_VARIABLE, PURE_VARIABLE}
    for name in environ:
        if name.startswith(PREFIX) and name not in known:
            choices = {known_name.lower(): known_name for known_name in sorted(known)}
            near = choices[_nearest(name, list(choices))]
            raise ConfigError(
                f"unknown environment variable {name}; did you mean {near}? Unset it otherwise"
            )


def _check_together(settings: Settings, merged: Layer) -> None:
    """Refuse values that are each right and wrong together."""
    broker = settings.broker
    if broker.liveness_ms <= broker.heartbeat_ms:
        origin = merged["broker", "liveness_ms"].origin
        raise ConfigError(
            f"broker.liveness_ms: expected more than broker.heartbeat_ms "
            f"({broker.heartbeat_ms}), got {broker.liveness_ms} ({origin}); "
            "three heartbeats are usual"
        )
    if broker.allow_plain:
        _require_networks(broker.allow_plain, merged["broker", "allow_plain"].origin)
    elif broker.open_frontend:
        origin = merged["broker", "open_frontend"].origin
        raise ConfigError(
            f"broker.open_frontend: needs broker.allow_plain, the networks from which clients "
            f"without keys may ask ({origin})"
        )


def _require_networks(networks: Iterable[str], origin: Origin) -> None:
    # Only brokers have some.
    import ipaddress

    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ConfigError(
                f"broker.allow_plain: expected networks such as 10.1.0.0/16 or addresses, "
                f"got {network!r} ({origin}): {error}"
            ) from error
