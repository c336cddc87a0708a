"""Runs the application with uvicorn, with a limit on the time that a client may take for its headers."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.service.http.settings import ServeSettings

__all__ = ["Server"]


class _PatientProtocol(H11Protocol):
    """Closes a connection whose first bytes do not become a whole request in time, as in a slowloris attack."""

    patience = 15.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and self.cycle is None:
            self._wait()
        super().data_received(data)
        if self.cycle is not None:  # the headers are complete; the rest has limits of its own
            self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.patience, self._give_up)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is None and self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class Server:
    """One server, bound to its port before it starts, so that the address is known and a taken port is an error.

    Args:
        app: From `create_app`.
        settings: The same as its.

    Raises:
        SettingsError: The port is taken, or the address is not one of this machine.
    """

    def __init__(self, app: FastAPI, settings: ServeSettings) -> None:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((settings.host, settings.port))
        except OSError as error:
            self._socket.close()
            raise SettingsError(
                f"{settings.host}:{settings.port} cannot be listened on ({error.strerror or error}); "
                "choose another --port"
            ) from None
        protocol = type("_Protocol", (_PatientProtocol,), {"patience": settings.patience})
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=True,
                limit_concurrency=settings.connections,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=5,
                h11_max_incomplete_event_size=32 * 1024,
            )
        )
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        token = f"#token={settings.token}" if settings.token else ""
        self.address = f"http://{shown}:{port}/"
        """Where it listens."""
        self.page = f"{self.address}{token}"
        """What to open in a browser; holds the token, where there is one."""

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM, or until `stop` is called."""
        asyncio.run(self._uvicorn.serve(sockets=[self._socket]))

    def stop(self) -> None:
        """Ask a server that runs in another thread to end."""
        self._uvicorn.should_exit = True
