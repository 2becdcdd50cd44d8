"""Values as people type them: where a setting is a string, ``1``, ``yes`` and ``,`` are strings."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from recurra.config.yaml import parse_yaml

__all__ = ["parse_value", "refuse_truth_value", "spelled", "spelling_of"]

Kind = Literal["text", "texts", "text or texts", "other"]

_NULLS = ("", "~", "null", "Null", "NULL")


def kind_of(field: FieldInfo | None) -> Kind:
    """Returns whether a setting is a string, a list of strings, either of them, or something else."""
    branches = _branches(field.annotation) if field is not None else []
    kinds = {"text" if b is str else "texts" if b == list[str] else "other" for b in branches}
    if not kinds or "other" in kinds:
        return "other"
    return "text or texts" if len(kinds) == 2 else "text" if "text" in kinds else "texts"


def _branches(annotation: Any) -> list[Any]:
    """The parts of a union, without None and annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _branches(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [part for each in get_args(annotation) if each is not type(None) for part in _branches(each)]
    return [annotation]


def parse_value(text: str, field: FieldInfo | None) -> Any:
    """Returns the value of ``--set KEY=text``: YAML, but for a string the text itself, quoted or not.

    Raises:
        ValueError: it is not YAML; the message is one short clause.

    Example:
        >>> label = FieldInfo(annotation=str)
        >>> parse_value(",", label), parse_value("yes", label), parse_value("'#1'", label)
        (',', 'yes', '#1')
        >>> parse_value("review", FieldInfo(annotation=list[str])), parse_value("yes", None)
        (['review'], 'yes')
    """
    kind = kind_of(field)
    if kind == "other":
        return parse_yaml(text)
    plain = text.strip()
    if kind != "text" and plain.startswith("["):
        return parse_yaml(plain)
    if plain in _NULLS:
        plain_value = text if text and not plain else None  # a separator may be a space or a tab
    elif len(plain) > 1 and plain[0] == plain[-1] and plain[0] in "'\"":
        plain_value = str(parse_yaml(plain))
    else:
        plain_value = {r"\t": "\t"}.get(plain, plain)
    return [plain_value] if kind == "texts" and plain_value is not None else plain_value


def spelled(value: Any, field: FieldInfo | None) -> Any:
    """Returns a value of a settings file or of Python as its setting needs it: a number as a string, if so.

    Example:
        >>> spelled(1, FieldInfo(annotation=str)), spelled("a", FieldInfo(annotation=list[str]))
        ('1', ['a'])
    """
    kind = kind_of(field)
    if kind == "other":
        return value
    if isinstance(value, list | tuple) and kind != "text":
        return [_as_text(item) for item in value]
    value = _as_text(value)
    return [value] if kind == "texts" and isinstance(value, str) else value


def refuse_truth_value(value: Any, field: FieldInfo) -> None:
    """Refuses true and false, also NumPy's, for a setting that is a number or has a list of numbers.

    Raises:
        ValueError: ``value`` is a truth value, or a list with one.

    Example:
        >>> refuse_truth_value(True, FieldInfo(annotation=bool))
        >>> refuse_truth_value([8, True], FieldInfo(annotation=int | list[int]))
        Traceback (most recent call last):
        ValueError: it should be a number, not a truth value
    """
    branches = _branches(field.annotation)
    of_lists = [
        part for each in branches if get_origin(each) is list for part in _branches(get_args(each)[0])
    ]
    if bool in branches or not {int, float} & {*branches, *of_lists}:
        return
    values = value if isinstance(value, list | tuple) else [value]
    if any(type(each).__name__ in ("bool", "bool_") for each in values):  # bool_ is that of NumPy 1
        raise ValueError("it should be a number, not a truth value")


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def spelling_of(name: str, field: FieldInfo) -> str | None:
    """Returns how a setting of the type of ``field`` is written, for hints; None if it is plain."""
    branches = _branches(field.annotation)
    if kind_of(field) in ("texts", "text or texts"):
        return f"write {name}=NAME, or {name}='[NAME, NAME]' for several"
    if bool in branches:
        return f"write {name}=true or {name}=false"
    lists = [get_origin(branch) is list for branch in branches]
    if lists and all(lists):
        return f"write a list: {name}='[A, B]'"
    if any(lists):
        return f"write one value, or a list: {name}='[A, B]'"
    return None
