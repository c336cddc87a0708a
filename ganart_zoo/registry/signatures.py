"""Signatures of minisign (Ed25519), which say that a file is its author's: verified here, made by `minisign -S`.

    untrusted comment: ...
    base64 of: "ED", 8 bytes of the key's number, 64 bytes of signature of blake2b-512(file)      ("Ed": of the file)
    trusted comment: ...
    base64 of: 64 bytes of signature of the signature above and the trusted comment

Source: https://jedisct1.github.io/minisign/. Needs the package `cryptography`, the extra ganart-zoo[sign]. Torch-free.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

from ganart_zoo.contract.errors import GanartError

__all__ = ["SUFFIX", "verify"]

SUFFIX = ".minisig"
"""What follows the name of a file in that of its signature."""

_COMMENT = "trusted comment: "


def verify(content: bytes, signature: str, key: str, name: str) -> str:
    """Return the trusted comment of a signature that fits.

    Args:
        content: What was signed.
        signature: The text of the file of its signature.
        key: The public key, as the last line of a `minisign.pub` has it.
        name: Of what was signed, for messages.

    Raises:
        GanartError: The signature or the key is malformed, or they and the content do not belong together.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as error:
        raise GanartError("signatures need cryptography; pip install 'ganart-zoo[sign]'") from error
    method, own_number, point = _parts(key.strip(), 32, f"the key {key!r:.60}")
    if method != b"Ed":
        raise GanartError(f"the key {key!r:.60} is of an unknown kind; expected one of minisign's, which begin with RW")
    lines = signature.splitlines()
    if len(lines) < 4 or not lines[2].startswith(_COMMENT):
        raise GanartError(f"{name}{SUFFIX} is no signature of minisign; make one with minisign -S -m {name}")
    method, number, signed = _parts(lines[1], 64, f"{name}{SUFFIX}")
    if number != own_number:
        raise GanartError(f"{name} is signed by another key ({_shown(number)}), expected {_shown(own_number)}")
    if method not in (b"ED", b"Ed"):
        raise GanartError(f"{name}{SUFFIX} is of an unknown kind {method!r}, expected ED or Ed")
    comment = lines[2].removeprefix(_COMMENT)
    public = Ed25519PublicKey.from_public_bytes(point)
    try:
        public.verify(signed, hashlib.blake2b(content).digest() if method == b"ED" else content)
        public.verify(_decoded(lines[3], f"{name}{SUFFIX}"), signed + comment.encode())
    except InvalidSignature as error:
        raise GanartError(f"{name} is not what was signed: it, its signature or the comment was changed") from error
    return comment


def _parts(text: str, length: int, where: str) -> tuple[bytes, bytes, bytes]:
    """Return the kind, the number of the key, and the rest, which has `length` bytes."""
    data = _decoded(text, where)
    if len(data) != 10 + length:
        raise GanartError(f"{where} has {len(data)} bytes, expected {10 + length} in base64")
    return data[:2], data[2:10], data[10:]


def _decoded(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise GanartError(f"{where} is not base64: {error}") from error


def _shown(number: bytes) -> str:
    return number[::-1].hex().upper()
