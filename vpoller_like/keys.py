"""Keys on disk: whose they are, and who may use a broker.

A directory holds, for each key made here, ``NAME.key`` (the secret half, closed to others)
and ``NAME.pub`` (the public half, to be handed around); and at a broker ``authorized.toml``,
which says whose public keys may do what. Both halves are written as 40 characters of Z85.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

import msgspec

from vpoller_like.errors import ConfigError

SYSTEM_DIRECTORY = "/etc/vpoller/keys"
#: The file of those who may use a broker.
AUTHORIZED = "authorized.toml"

Role = Literal["caller", "worker", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

# A name is shorter than a key, so that the two can be told apart.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_KEY_LENGTH = 40

_HEADER = """\
# Who may use this broker. `vpoller keys authorize` and `vpoller keys revoke` write it; a
# running broker reads it again on SIGHUP, and within a second of a change.
"""


class Authorized(msgspec.Struct, frozen=True):
    """One who may use a broker. ``methods`` are patterns such as ``vm.*``."""

    name: str
    public_key: str
    role: Role
    methods: tuple[str, ...] = ("*",)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file."""

    public_key: str
    role: Role
    methods: list[str] = msgspec.field(default_factory=lambda: ["*"])


def default_directory(environ: Mapping[str, str] | None = None) -> str:
    """Return where keys are unless ``security.keys`` says otherwise."""
    environ = os.environ if environ is None else environ
    if os.geteuid() == 0 and os.path.isdir(SYSTEM_DIRECTORY):
        return SYSTEM_DIRECTORY
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(base, "vpoller", "keys")


def is_public_key(text: str) -> bool:
    """Say whether ``text`` is a key in Z85: five characters for each four bytes."""
    return _looks_like_a_key(text) and all(
        _number(text[at : at + 5]) < 1 << 32 for at in range(0, _KEY_LENGTH, 5)
    )


def _looks_like_a_key(text: str) -> bool:
    return len(text) == _KEY_LENGTH and all(digit in _VALUES for digit in text)


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * len(_DIGITS) + _VALUES[digit]
    return value


def require_name(name: str) -> str:
    """Return ``name`` if a key may be called so; raise ``ConfigError`` if not."""
    if not _is_name(name):
        raise ConfigError(
            "a key's name has 1 to 32 letters, digits, dots, dashes and underscores, and begins "
            f"with a letter or digit; {_shown(name)} is none"
        )
    return name


def _is_name(name: str) -> bool:
    return re.fullmatch(_NAME, name) is not None


class KeyDirectory:
    """The keys in one directory, which need not exist."""

    def __init__(self, path: str | os.PathLike[str] = "") -> None:
        self.path = os.path.expanduser(os.fspath(path)) or default_directory()

    @property
    def authorized_file(self) -> str:
        """The file of those who may use a broker."""
        return os.path.join(self.path, AUTHORIZED)

    def secret_file(self, name: str) -> str:
        """Return where the secret half of the key ``name`` is; a path ``….key`` is itself."""
        if _is_path(name, ".key"):
            return os.path.expanduser(name)
        return os.path.join(self.path, f"{require_name(name)}.key")

    def public_file(self, name: str) -> str:
        """Return where the public half of the key ``name`` is; a path ``….pub`` is itself."""
        if _is_path(name, ".pub"):
            return os.path.expanduser(name)
        return os.path.join(self.path, f"{require_name(name)}.pub")

    def names(self) -> list[str]:
        """Return the names of all keys of which either half is here."""
        try:
            files = os.listdir(self.path)
        except FileNotFoundError:
            return []
        parts = (os.path.splitext(file) for file in files)
        return sorted({name for name, end in parts if end in (".key", ".pub") and _is_name(name)})

    def secret(self, name: str) -> str:
        """Return the secret half of a key; raise ``ConfigError`` where it is not kept so."""
        path = self.secret_file(name)
        remedy = f"make it with `vpoller keys new {_made_as(path)}`"
        return _read_key(path, remedy, _require_closed)

    def public(self, name: str) -> str:
        """Return the public half of a key; ``name`` may be the 40 characters themselves."""
        if _looks_like_a_key(name) and not _is_path(name, ".pub"):
            return _require_key(name)
        path = self.public_file(name)
        return _read_key(path, f"copy {_made_as(path)}.pub there, or give its 40 characters")

    def write(self, name: str, public: str, secret: str) -> None:
        """Write a new key; raise ``ConfigError`` where one of that name is already here."""
        require_name(name)
        _make_directory(self.path)
        _require_absent(self.public_file(name))
        _write_new(self.secret_file(name), secret, 0o600)
        _write_new(self.public_file(name), public, 0o644)

    # Who may use a broker --------------------------------------------------------------

    def authorized(self) -> list[Authorized]:
        """Return who may use the broker, in the file's order; nobody, where there is no file.

        Raises ``ConfigError`` naming the entry where the file is wrong, or where others than
        its owner may write it or put another one in its place.
        """
        data = self._list()
        return [] if data is None else _parse(data, self.authorized_file)

    def authorized_still(self) -> list[Authorized]:
        """Return who may use the broker, as :meth:`authorized` does, where somebody could.

        Raises ``ConfigError`` also where the file is gone or empty, as one is that is just
        being written: the list of nobody has a header.
        """
        data = self._list()
        if data is None or not data.strip():
            raise ConfigError(f"{self.authorized_file} is {'gone' if data is None else 'empty'}")
        return _parse(data, self.authorized_file)

    def _list(self) -> bytes | None:
        path = self.authorized_file
        try:
            with open(path, "rb") as file:
                _require_unwritable(os.fstat(file.fileno()), path)
                _require_safe_place(os.stat(self.path), self.path)
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error

    def authorize(self, entry: Authorized) -> None:
        """Let ``entry`` use the broker; it replaces the entry of the same name."""
        require_name(entry.name)
        with self._changing() as entries:
            for other in entries:
                if other.public_key == entry.public_key and other.name != entry.name:
                    raise ConfigError(
                        f"this key is authorised already, as {other.name}; "
                        f"`vpoller keys revoke {other.name}` first to change its name"
                    )
            _replace(entries, entry)

    def revoke(self, name: str) -> Authorized:
        """Let nobody of that name use the broker any more; return who that was."""
        with self._changing() as entries:
            for index, entry in enumerate(entries):
                if entry.name == name:
                    return entries.pop(index)
        raise ConfigError(
            f"{self.authorized_file} names no {_shown(name)}; see `vpoller keys list`"
        )

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Authorized]]:
        """Lend out the entries, and write them back; one process at a time."""
        _make_directory(self.path)
        folder = _lock(self.path)
        try:
            entries = self.authorized()
            before = list(entries)
            yield entries
            if entries != before:
                _replace_file(self.authorized_file, _written(entries))
        finally:
            os.close(folder)


def _replace(entries: list[Authorized], entry: Authorized) -> None:
    for index, other in enumerate(entries):
        if other.name == entry.name:
            entries[index] = entry
            return
    entries.append(entry)


def _lock(folder: str) -> int:
    import fcntl

    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
        except BaseException:
            os.close(opened)
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot change what is in {folder}: {error.strerror}; see security.keys"
        ) from error
    return opened


_Requirement = Callable[[os.stat_result, str], None]


def require_closed(path: str) -> None:
    """Raise ``ConfigError`` where others may read the secret at ``path``, if it is there."""
    with contextlib.suppress(OSError):  # reading it will say so better
        _require_closed(os.stat(path), path)


def _require_closed(found: os.stat_result, path: str) -> None:
    # Root reads the secrets of those whom it runs programs as.
    if os.geteuid() != 0:
        _require_own(found, path)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{path} is a secret and open to others (mode {mode:04o}); "
            f"close it with `chmod 600 {path}`, and make a new key if somebody may have read it"
        )


def _require_unwritable(found: os.stat_result, path: str) -> None:
    # What is in a user's own directory is that user's, and root may keep it for him.
    keeper = os.stat(os.path.dirname(path)).st_uid if os.geteuid() == 0 else 0
    _require_own(found, path, keeper)
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise ConfigError(
            f"{path} decides who may use the broker and others can write it (mode {mode:04o}); "
            f"close it with `chmod 644 {path}`"
        )


def _require_safe_place(found: os.stat_result, folder: str) -> None:
    """Raise where others could put files of theirs into ``folder`` in the place of ours."""
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise ConfigError(
            f"others can replace what is in {folder} (mode {mode:04o}), and {AUTHORIZED} there "
            f"decides who may use the broker; close it with `chmod go-w {folder}`"
        )


def _require_own(found: os.stat_result, path: str, keeper: int = 0) -> None:
    if found.st_uid not in (0, os.geteuid(), keeper):
        raise ConfigError(
            f"{path} belongs to another user (uid {found.st_uid}), who can change it; "
            f"give it to the user that runs this, with `chown`"
        )


def _is_path(name: str, end: str) -> bool:
    return os.sep in name and name.endswith(end)


def _made_as(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _shown(name: str) -> str:
    """Quote a name that somebody gave, unless it may be a secret given by mistake."""
    return "what was given" if _looks_like_a_key(name) else repr(name[:64])


def _require_key(text: str) -> str:
    if not is_public_key(text):
        raise ConfigError(
            "what was given has the 40 characters of a key, and does not decode as Z85; copy it "
            "once more from its .pub file"
        )
    return text


def _accept(found: os.stat_result, path: str) -> None:
    """A public half may lie anywhere and belong to anybody."""


def _read_key(path: str, remedy: str, require: _Requirement = _accept) -> str:
    try:
        with open(path, encoding="ascii") as file:
            require(os.fstat(file.fileno()), path)
            text = file.read(256).strip()
    except UnicodeDecodeError:
        text = ""
    except FileNotFoundError as error:
        raise ConfigError(f"there is no key {path}; {remedy}") from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give it to the user that runs this"
        ) from error
    if not is_public_key(text):
        raise ConfigError(f"{path} holds no key, which is 40 characters of Z85; {remedy}")
    return text


# Writing ---------------------------------------------------------------------------------


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {path}: {error.strerror}; see security.keys") from error


def _write_new(path: str, text: str, mode: int) -> None:
    """Write a file that was not there, whole or not at all."""
    draft = f"{path}.{os.getpid()}.new"
    try:
        _write_draft(draft, f"{text}\n", mode)
        try:
            os.link(draft, path)  # unlike rename, it never takes another one's place
        finally:
            os.unlink(draft)
    except FileExistsError:
        _require_absent(path)
        raise
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _require_absent(path: str) -> None:
    if os.path.lexists(path):
        raise ConfigError(
            f"{path} exists, and a key is never overwritten; choose another name, or move it away"
        )


def _replace_file(path: str, text: str) -> None:
    draft = f"{path}.{os.getpid()}.new"
    try:
        before = os.stat(path) if os.path.exists(path) else None
        mode = 0o644 if before is None else stat.S_IMODE(before.st_mode)
        _write_draft(draft, text, mode, before)
        os.replace(draft, path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _write_draft(path: str, text: str, mode: int, replaced: os.stat_result | None = None) -> None:
    """Write ``path``; by root's hand it belongs to whom the ``replaced`` one did."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # of a process of this id that was killed
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "w", encoding="ascii") as file:
        if replaced is not None and os.geteuid() == 0:
            os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        os.fchmod(descriptor, mode)  # whatever the umask
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _written(entries: Iterable[Authorized]) -> str:
    return _HEADER + "".join(
        f'\n["{entry.name}"]\n'
        f'public_key = "{entry.public_key}"\n'
        f'role = "{entry.role}"\n'
        f"methods = [{', '.join(_quoted(pattern) for pattern in entry.methods)}]\n"
        for entry in entries
    )


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's escapes are among TOML's."""
    import json

    return json.dumps(text)


# Reading ---------------------------------------------------------------------------------


def _parse(data: bytes, path: str) -> list[Authorized]:
    import tomllib

    try:
        tables = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct the file") from error
    entries = [_entry(name, table, path) for name, table in tables.items()]
    _require_different(entries, path)
    return entries


def _entry(name: str, table: Any, path: str) -> Authorized:
    try:
        require_name(name)
        entry = msgspec.convert(table, _Entry)
    except (ConfigError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: [{name}]: {error}; correct the file") from error
    if not is_public_key(entry.public_key):
        raise ConfigError(
            f"{path}: [{name}]: public_key is not the 40 characters of a key; correct the file"
        )
    return Authorized(name, entry.public_key, entry.role, tuple(entry.methods))


def _require_different(entries: Iterable[Authorized], path: str) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.public_key in seen:
            raise ConfigError(
                f"{path}: [{entry.name}] has the same key as [{seen[entry.public_key]}]; "
                "take one of them out"
            )
        seen[entry.public_key] = entry.name
