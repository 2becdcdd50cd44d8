"""YAML of settings: plain values, without dates, aliases and anything that expands; ``yes`` is a word."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

__all__ = ["parse_yaml"]

_LONGEST = 1_000_000  # characters; the settings with weights for 10,000 classes have 300,000


# The values of plain text that are what they look like. In YAML 1.1, yes, no, on and off are truth values,
# 12:30 is 750, and 1e-3 is a string.
_VALUES = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0b[0-1_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)",
    "float": r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
    "merge": r"<<",
}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without aliases and with `_VALUES` alone.

    No setting is a date: a column may be called ``2024-01-31``. Aliases of aliases let 400 bytes expand to
    gigabytes.
    """

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        None: [(f"tag:yaml.org,2002:{name}", re.compile(f"(?:{form})\\Z")) for name, form in _VALUES.items()]
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Returns the next node."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            problem = f"the alias *{event.anchor} is not read: write the value"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


def parse_yaml(text: str) -> Any:
    """Returns the value of a YAML document.

    Raises:
        ValueError: it is not YAML, has an alias, or is too long or too deep; the message is one short clause.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"{len(text):,} characters are too many for settings")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - derived from the safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise ValueError(f"{error.problem or error.context}{place}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError):
        # PyYAML's constructors raise all of these for a value that does not have the form of its tag.
        raise ValueError("a value does not have the form of its type") from None
