"""`recurra serve`: saved models answer over HTTP."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli import options
from recurra.cli.screen import Screen

__all__ = ["serve"]

_LIMITS = "Limits"


def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="Model directories, or a directory of models; NAME=DIRECTORY names a model.",
        ),
    ],
    host: Annotated[
        str,
        typer.Option(help="The address to listen at; others than this machine's own need RECURRA_TOKEN."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any free one.")] = 8080,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A further name by which the server is called. Can be repeated."),
    ] = None,
    refresh: Annotated[
        float, typer.Option(min=0, help="Seconds between two looks for new models; 0 for none.")
    ] = 1.0,
    body: Annotated[
        int | None,
        typer.Option("--max-body", help="Bytes of a request.  [default: 1000000]", rich_help_panel=_LIMITS),
    ] = None,
    texts: Annotated[
        int | None,
        typer.Option("--max-texts", help="Texts of a request.  [default: 256]", rich_help_panel=_LIMITS),
    ] = None,
    queue: Annotated[
        int | None,
        typer.Option("--max-queue", help="Texts that wait.  [default: 1024]", rich_help_panel=_LIMITS),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--max-requests", help="Requests in progress.  [default: 128]", rich_help_panel=_LIMITS),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds until an answer.  [default: 30]", rich_help_panel=_LIMITS),
    ] = None,
    generate: Annotated[
        int | None,
        typer.Option(
            "--max-generate", help="Tokens generated for a text.  [default: 512]", rich_help_panel=_LIMITS
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(help="Texts computed together.  [default: 64]", rich_help_panel=_LIMITS),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Answer for saved models over HTTP, until Ctrl-C: Open Inference Protocol, plain JSON, and a page at /.

    Other machines can only ask if --host names an address that they reach, and the environment variable
    RECURRA_TOKEN holds a secret that they send.
    """
    from recurra.serve import Limits
    from recurra.serve import serve as run

    screen = Screen(quiet=quiet)
    _log(quiet)
    limits = Limits.of(
        **options.given(
            body=body,
            texts=texts,
            queue=queue,
            concurrency=concurrency,
            timeout=timeout,
            generate=generate,
            batch=batch,
        )
    )

    def ready(address: str) -> None:
        screen.note(f"serving at {address} (Ctrl-C ends it)")
        sys.stdout.flush()

    paths: list[str | Path] = list(models)
    run(
        paths,
        host=host,
        port=port,
        hosts=allow_host or [],
        limits=limits,
        refresh=refresh,
        ready=ready,
    )
    screen.note("all requests are answered; the server has ended")


def _log(quiet: bool) -> None:
    """Writes the log of the server to stderr, one line an event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("recurra: %(message)s"))
    log = logging.getLogger("recurra.serve")
    log.handlers[:] = [handler]
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
