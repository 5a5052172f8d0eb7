"""Whom to trust: the check of a vCenter's certificate."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import msgspec

from vpoller_like.errors import ConfigError

_HASHES = {40: hashlib.sha1, 64: hashlib.sha256}


class Trust(msgspec.Struct, frozen=True):
    """How a vCenter proves who it is; made by :func:`make_trust`."""

    verify: bool = True
    ca_file: str | None = None
    #: Hexadecimal digits in lower case, 40 of SHA-1 or 64 of SHA-256.
    thumbprint: str | None = None


class ThumbprintMismatch(Exception):
    """The server's certificate is not the pinned one."""

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(f"thumbprint {actual}, expected {expected}")
        self.expected = expected
        self.actual = actual


def make_trust(
    verify: bool = True, ca_file: str | None = None, thumbprint: str | None = None
) -> Trust:
    """Return the one way to check the certificate that the settings ask for.

    Raises ``ConfigError`` where they contradict each other, where ``ca_file`` cannot be
    read and where ``thumbprint`` is none.
    """
    given = [name for name, value in (("ca_file", ca_file), ("thumbprint", thumbprint)) if value]
    if not verify and given:
        raise ConfigError(f"{given[0]}: contradicts verify = false; keep one of them")
    if len(given) > 1:
        raise ConfigError("thumbprint: ca_file is given as well; keep one of them")
    if ca_file:
        _load_ca(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca_file)
    return Trust(verify, ca_file or None, _thumbprint(thumbprint) if thumbprint else None)


def context_for(trust: Trust) -> ssl.SSLContext:
    """Return a TLS context that lets through what ``trust`` allows.

    With a thumbprint it lets every certificate through: :func:`check_thumbprint` has to
    follow the handshake.
    """
    if trust.verify and not trust.thumbprint:
        return ssl.create_default_context(cafile=trust.ca_file)
    # Without the system's authorities, whose loading takes longer than a login.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def check_thumbprint(expected: str, certificate: bytes) -> None:
    """Raise ``ThumbprintMismatch`` unless the DER ``certificate`` is the pinned one."""
    actual = _HASHES[len(expected)](certificate).hexdigest()
    if actual != expected:
        raise ThumbprintMismatch(expected, actual)


def with_colons(thumbprint: str) -> str:
    """Return a thumbprint as vSphere and openssl show it: ``AB:CD:...``."""
    return ":".join(thumbprint[at : at + 2] for at in range(0, len(thumbprint), 2)).upper()


def _thumbprint(text: str) -> str:
    digits = text.replace(":", "").replace(" ", "").lower()
    if len(digits) not in _HASHES or set(digits) - set("0123456789abcdef"):
        raise ConfigError(
            "thumbprint: expected the SHA-1 (40 hexadecimal digits) or SHA-256 (64) of the "
            "certificate, with or without colons"
        )
    return digits


def _load_ca(context: ssl.SSLContext, ca_file: str) -> None:
    if not Path(ca_file).is_file():
        raise ConfigError(f"ca_file: there is no {ca_file}; name a file of PEM certificates")
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"ca_file: {ca_file} cannot be used ({error}); name a file of PEM certificates"
        ) from error
