"""`ganart serve`: jobs over HTTP, and a page. Needs the extra `ganart-zoo[serve]`."""

from __future__ import annotations

from ganart_zoo.service.http.app import create_app
from ganart_zoo.service.http.server import Server
from ganart_zoo.service.http.settings import ServeSettings

__all__ = ["ServeSettings", "Server", "create_app"]
