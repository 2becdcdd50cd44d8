"""YAML of settings: plain values, without dates, aliases and anything that expands."""

from __future__ import annotations

from typing import Any, ClassVar

import yaml

from recurra.printable import shortened

__all__ = ["parse_yaml"]

_LONGEST = 1_000_000  # characters; the settings with weights for 10,000 classes have 300,000


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without dates and without aliases.

    No setting is a date: a column may be called ``2024-01-31``. Aliases of aliases let 400 bytes expand to
    gigabytes.
    """

    yaml_implicit_resolvers: ClassVar = {  # type: ignore[misc]
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
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
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        # PyYAML's constructors raise all of these for a value that does not have the form of its tag.
        raise ValueError(f"a value is not of its type ({shortened(str(error), 200)})") from None
