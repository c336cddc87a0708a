"""What a server allows: where it listens, which models it serves, and how much a client may ask for. Torch-free."""

from __future__ import annotations

import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from ganart_zoo.contract.errors import SettingsError

__all__ = ["ServeSettings", "is_loopback"]

_MIB = 2**20


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class ServeSettings:
    """The settings of one server.

    Raises:
        SettingsError: A limit is not positive, or the token is shorter than 16 characters.
    """

    folder: Path
    """Where pictures, results and the history of jobs are kept."""
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    """What clients must send as `Authorization: Bearer TOKEN`. One is made up where others can reach the server."""
    models: tuple[str, ...] = ()
    """The models that requests may name; empty allows all that are installed with weights, or need none."""
    names: tuple[str, ...] = ()
    """Names of the server that clients may use, besides loopback addresses and `host`."""
    upload_bytes: int = 32 * _MIB
    request_bytes: int = 256 * 1024
    """The largest JSON body."""
    pixels: int = 40_000_000
    """The largest picture that may be uploaded."""
    size: int = 2048
    """The longest side at which pictures are worked on, in pixels."""
    count: int = 256
    """The most pictures that one job may propose or paint."""
    seconds: float = 900.0
    """How long one job may run."""
    queue: int = 100
    """How many jobs may wait."""
    rate: int = 600
    """Requests per minute from one client to the API; others are refused until the minute is over."""
    connections: int = 200
    """Connections at once."""
    stored_bytes: int = 2048 * _MIB
    """Uploads that are kept; the oldest are deleted first."""
    concurrent: int = 1
    """Jobs that run at once."""
    idle_seconds: float = 600.0
    """Models that were not used for this long are released."""
    patience: float = 15.0
    """Seconds in which a client must have sent its request."""

    def __post_init__(self) -> None:
        numbers = ("upload_bytes", "request_bytes", "pixels", "size", "count", "seconds", "queue", "rate")
        for name in (*numbers, "connections", "stored_bytes", "concurrent", "idle_seconds", "patience"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"{name} is {getattr(self, name)}, expected a number above 0")
        if not 0 <= self.port < 2**16:
            raise SettingsError(f"port is {self.port}, expected 0 to 65535")
        if self.token is not None and len(self.token) < 16:
            raise SettingsError(f"the token has {len(self.token)} characters, expected at least 16")
        if self.token is None and not is_loopback(self.host):
            object.__setattr__(self, "token", secrets.token_urlsafe(24))
