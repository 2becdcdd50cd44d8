"""Help texts with the options in groups."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["Grouped"]


class Grouped(TyperCommand):
    """A command whose help lists its options by their ``rich_help_panel``, and the others last."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the arguments, each group of options, and the options of no group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
                name = getattr(parameter, "rich_help_panel", None) or kind
                groups.setdefault(name, []).append(record)
        for name in sorted(groups, key=lambda name: (name != "Arguments", name == "Options")):
            with formatter.section(name):
                formatter.write_dl(groups[name])
