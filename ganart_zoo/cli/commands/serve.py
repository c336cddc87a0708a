"""`ganart serve`: the zoo as a page and as an HTTP service."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from ganart_zoo.cli.group import pass_zoo
from ganart_zoo.cli.options import quiet_option
from ganart_zoo.contract.errors import SettingsError
from ganart_zoo.registry import Zoo

__all__ = ["command"]

_GRACE = 30.0
"""Seconds after its longest run that a job may take to hear of it; then its process is ended."""

_NEEDED = ("fastapi", "uvicorn", "prometheus_client")


@click.command("serve", short_help="Open a page for restyling, painting and dreaming.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. Others need a token.")
@click.option(
    "-p", "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option(
    "--token", envvar="GANART_TOKEN", show_envvar=True, help="What clients must send. Default: a new one, off loopback."
)
@click.option("--name", "names", multiple=True, metavar="HOST", help="A name by which clients may address the server.")
@click.option("--model", "models", multiple=True, metavar="MODEL", help="Serve only this model. May be repeated.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where pictures and the history of jobs are kept.")
@click.option(
    "--jobs", "concurrent", type=click.IntRange(1, 64), default=1, show_default=True, help="Jobs that run at once."
)
@click.option("--size", type=click.IntRange(16), default=2048, show_default=True, help="Largest long side, in pixels.")
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=900.0, show_default=True, help="Longest run of a job."
)
@click.option(
    "--processes",
    is_flag=True,
    help="Run jobs in processes of their own: a model that crashes or hangs then ends its own job alone.",
)
@click.option(
    "--warm",
    multiple=True,
    metavar="MODEL",
    help="Load this model before the first request, and keep what is loaded. May be repeated.",
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@quiet_option
@pass_zoo
def command(
    zoo: Zoo,
    host: str,
    port: int,
    token: str | None,
    names: tuple[str, ...],
    models: tuple[str, ...],
    folder: Path | None,
    concurrent: int,
    size: int,
    seconds: float,
    processes: bool,
    warm: tuple[str, ...],
    open_page: bool,
    quiet: bool,
) -> None:
    """Serve a page, and the same work as an HTTP interface, until Ctrl-C.

    \b
    ganart serve --open
    ganart serve --warm gatys
    ganart serve --host 0.0.0.0 --port 8080 --name paint.example.org

    The server listens on this machine alone unless --host says otherwise; it then asks clients for a token, which is
    part of the address that is printed. Nothing that a request says is used as a path or an address.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise SettingsError(f"ganart serve needs {', '.join(missing)}; pip install 'ganart-zoo[serve]'")
    from platformdirs import user_data_path

    from ganart_zoo.service import Jobs
    from ganart_zoo.service.http import Server, ServeSettings, create_app

    folder = folder or user_data_path("ganart") / "served"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"folder {folder} cannot be created ({error.strerror or error}); choose another") from None
    settings = ServeSettings(
        folder=folder,
        host=host,
        port=port,
        token=token,
        names=names,
        models=models,
        concurrent=concurrent,
        size=size,
        seconds=seconds,
    )
    if processes and warm:
        raise SettingsError("--warm loads a model into the server, and --processes runs none there; leave one out")
    limits = {"seconds": seconds, **({"timeout": seconds + _GRACE} if processes else {})}
    how: Any = {"executor": "processes" if processes else "threads", "workers": concurrent, "limits": limits}
    with Jobs(zoo, folder / "jobs", keep=1000, **how) as jobs:
        for name in warm:
            zoo.shared(name)
        jobs.idle_release(None if warm else settings.idle_seconds)
        server = Server(create_app(jobs, settings), settings)
        if not quiet:
            click.echo(f"ganart listens on {server.page} (Ctrl-C ends it)")
        if open_page:
            click.launch(server.page)
        with suppress(KeyboardInterrupt):  # uvicorn raises it again once all connections are closed
            server.run()
