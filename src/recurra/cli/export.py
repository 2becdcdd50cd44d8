"""The verb `recurra export`: a model for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli import options
from recurra.cli.screen import Screen

__all__ = ["export"]


def export(
    model: options.Model,
    to: Annotated[
        Literal["onnx", "torch-export"],
        typer.Option(help="onnx, for ONNX Runtime in any language and in browsers; or torch-export."),
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="The directory to write.  [default: MODEL-onnx or MODEL-torch-export]")
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Also write a model with weights of 8 bits (onnx).")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labelled rows, in the format of fit, on which the exported model is measured.",
        ),
    ] = None,
    settings: options.FileSettings = None,
    skip_bad_rows: options.SkipBadRows = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a model for programs without recurra, with all that they need, and compare its answers."""
    from recurra.export.write import default_out, export_model

    screen = Screen(as_json, quiet=quiet)
    result = export_model(
        model,
        out or default_out(model, to),
        to=to,
        int8=int8,
        data=data,
        settings=options.file_settings(settings, skip_bad_rows),
        reporter=screen,
    )
    screen.finish(result)
