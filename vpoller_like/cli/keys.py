"""``vpoller keys``: make keys, and say who may use the broker."""

from __future__ import annotations

from typing import Any

import click

from vpoller_like.authorized import ROLES, Authorized, AuthorizedList
from vpoller_like.cli.credentials import keys_option
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.output import emit, note, output_option
from vpoller_like.cli.session import Session
from vpoller_like.errors import ConfigError
from vpoller_like.keys import KeyDirectory, is_public_key


@click.group("keys")
def command() -> None:
    """Make keys, and say who may use the broker (CURVE)."""


@command.command("new")
@click.argument("name")
@keys_option
@output_option
@click.pass_obj
def new(session: Session, name: str, output: str | None) -> int:
    """Make a key pair: NAME.key, which stays here, and NAME.pub, for the others."""
    keys = _directory(session)
    # Here, so that `--help` does not wait for zmq.
    from vpoller_like.transport.curve import new_pair

    pair = new_pair()
    keys.write(name, pair.public, pair.secret)
    emit({"name": name, "public_key": pair.public, "secret_file": keys.secret_file(name)}, output)
    note(
        f"To run a broker with it: vpoller broker run --key {name}\n"
        "To let it in at a broker, as a caller, worker or admin:\n"
        f"  vpoller keys authorize {name} --role caller --public-key '{pair.public}'"
    )
    return Exit.OK


@command.command("list")
@keys_option
@output_option
@click.pass_obj
def list_(session: Session, output: str | None) -> int:
    """List the keys that are here, and those that may use the broker."""
    emit(_rows(_directory(session)), output)
    return Exit.OK


@command.command("authorize")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), help="Unless it has one: caller.")
@click.option(
    "--methods",
    metavar="PATTERNS",
    help="What it may ask for or, as a worker, serve: 'vm.*,host.*'. Unless it has some: '*'.",
)
@click.option("--public-key", metavar="KEY", help="Its 40 characters; else NAME.pub's here.")
@keys_option
@click.pass_obj
def authorize(
    session: Session, name: str, role: Any, methods: str | None, public_key: str | None
) -> int:
    """Let NAME use the broker; said again, it changes what is said and keeps the rest.

    A caller asks for methods, a worker serves them, an admin asks for all of them and for
    `vpoller status` and its like. A running broker takes it up within a second, or on SIGHUP.
    """
    keys = _directory(session)
    authorized = AuthorizedList(keys.path)
    patterns = None if methods is None else _patterns(methods)
    before = next((entry for entry in authorized.read() if entry.name == name), None)
    public = _public_key(keys, name, public_key, before)
    if before is None:
        entry = Authorized(name, public, role or "caller", patterns or ("*",))
    else:
        entry = Authorized(name, public, role or before.role, patterns or before.methods)
    authorized.add(entry)
    note(f"{name} may {_rights(entry)}: {authorized.file}")
    return Exit.OK


def _patterns(methods: str) -> tuple[str, ...]:
    patterns = tuple(pattern.strip() for pattern in methods.split(",") if pattern.strip())
    if not patterns:
        raise click.UsageError("--methods needs a pattern such as 'vm.*', or '*' for all")
    return patterns


def _rights(entry: Authorized) -> str:
    if entry.role == "admin":
        return "administer, and ask for all methods"
    what = "serve" if entry.role == "worker" else "ask for"
    return f"{what} {', '.join(entry.methods) or 'nothing'}"


@command.command("revoke")
@click.argument("name")
@keys_option
@click.pass_obj
def revoke(session: Session, name: str) -> int:
    """Let NAME use the broker no more; a running one takes it up within a second."""
    authorized = AuthorizedList(_directory(session).path)
    entry = authorized.revoke(name)
    note(f"{name} ({entry.role}) may not use the broker any more: {authorized.file}")
    return Exit.OK


def _directory(session: Session) -> KeyDirectory:
    return KeyDirectory(session.load().settings.security.keys)


def _public_key(keys: KeyDirectory, name: str, given: str | None, before: Authorized | None) -> str:
    """Return the key to authorise: the one ``given``, that of ``before``, or the one here.

    A ``.pub`` here does not change the key of one who is authorised: it may be an old one.
    """
    if given is not None:
        if not is_public_key(given):
            raise click.UsageError("--public-key needs the 40 characters that NAME.pub holds")
        return given
    if before is None:
        return keys.public(name)
    own = _own(keys, name)
    if own is not None and own != before.public_key:
        raise ConfigError(
            f"{name} is authorised with the key {before.public_key}, and "
            f"{keys.public_file(name)} holds {own}; say which by --public-key"
        )
    return before.public_key


def _rows(keys: KeyDirectory) -> list[dict[str, Any]]:
    authorized = {entry.name: entry for entry in AuthorizedList(keys.path).read()}
    return [_row(keys, name, authorized.get(name)) for name in sorted({*keys.names(), *authorized})]


def _row(keys: KeyDirectory, name: str, entry: Authorized | None) -> dict[str, Any]:
    import os

    own = _own(keys, name)
    public = entry.public_key if entry else own
    return {
        "name": name,
        "role": entry.role if entry else None,
        "methods": list(entry.methods) if entry else None,
        "public_key": public,
        "secret": os.path.exists(keys.secret_file(name)),
        "differs": bool(entry and own and own != entry.public_key),
    }


def _own(keys: KeyDirectory, name: str) -> str | None:
    try:
        return keys.public(name)
    except ConfigError:
        return None
