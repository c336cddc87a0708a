"""Signatures of catalogues: those that minisign made are accepted, and no changed byte is."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from ganart_zoo.cli import main
from ganart_zoo.contract.errors import GanartError
from ganart_zoo.registry.signatures import verify

pytest.importorskip("cryptography")
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

# Signatures of the four bytes "test" by the key of minisign's own releases, from its published test vectors.
KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
WHOLE = (
    "untrusted comment: signature from minisign secret key\n"
    "RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=\n"
    "trusted comment: timestamp:1555779966\tfile:test\n"
    "QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==\n"
)
HASHED = (
    "untrusted comment: signature from minisign secret key\n"
    "RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n"
    "trusted comment: timestamp:1556193335\tfile:test\n"
    "y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==\n"
)


@pytest.mark.parametrize("signature", [WHOLE, HASHED])
def test_what_minisign_signed_is_accepted_and_nothing_else(signature: str) -> None:
    assert verify(b"test", signature, f"{KEY}\n", "test").endswith("file:test")
    with pytest.raises(GanartError, match="test is not what was signed"):
        verify(b"Test", signature, KEY, "test")
    with pytest.raises(GanartError, match="is not what was signed"):
        verify(b"test", signature.replace("file:test", "file:best"), KEY, "test")


@pytest.mark.parametrize(
    ("signature", "key", "said"),
    [
        ("", KEY, "is no signature of minisign"),
        (WHOLE.replace("RWQf6L", "RWQf6M"), KEY, r"signed by another key \(\w{16}\), expected E7620F1842B4E81F"),
        (WHOLE.replace("RWQf6LRC", "!"), KEY, "is not base64"),
        (WHOLE, "RWQf6LRC", "has 6 bytes, expected 42"),
        (WHOLE, "AA" + KEY[2:], "of an unknown kind"),
    ],
)
def test_what_is_no_signature_or_key_is_named(signature: str, key: str, said: str) -> None:
    with pytest.raises(GanartError, match=said):
        verify(b"test", signature, key, "test")


def signed(content: bytes, secret: Ed25519PrivateKey, number: bytes = b"12345678") -> str:
    """Sign as minisign does."""
    signature = secret.sign(hashlib.blake2b(content).digest())
    comment = "timestamp:1"
    lines = [
        base64.b64encode(data).decode()
        for data in (b"ED" + number + signature, secret.sign(signature + comment.encode()))
    ]
    return f"untrusted comment: x\n{lines[0]}\ntrusted comment: {comment}\n{lines[1]}\n"


def test_a_catalogue_must_be_signed_where_a_key_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = Ed25519PrivateKey.generate()
    key = base64.b64encode(b"Ed12345678" + secret.public_key().public_bytes_raw()).decode()
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps({"ganart_catalogue": 1, "plugins": [{"distribution": "ganart-oil", "version": "1.2"}]}))
    assert main(["search", str(path), "--key", key]) == 2
    assert "catalogue.json.minisig beside the catalogue, which --key asks for" in capsys.readouterr().err
    Path(f"{path}.minisig").write_text(signed(path.read_bytes(), secret))
    assert main(["search", str(path), "--key", key]) == 0
    assert "pip install ganart-oil==1.2" in capsys.readouterr().out
    path.write_text(path.read_text().replace("ganart-oil", "ganart-0il"))
    assert main(["search", str(path), "--key", key]) == 2
    captured = capsys.readouterr()
    assert "is not what was signed" in captured.err
    assert captured.out == ""
