"""A language model's text while it is generated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from recurra.errors import ConfigError
from recurra.tasks.language.answers import continuations, sampling_of
from recurra.tasks.language.network import LanguageBundle
from recurra.tasks.streaming import Streamed

__all__ = ["stream"]


def stream(
    bundle: LanguageBundle, inputs: str | Iterable[str], options: Mapping[str, Any], recompute: bool
) -> Iterator[Streamed]:
    """Yields after each generated token the ``piece`` that it adds and the whole ``text``.

    The options are those of ``recurra predict --generate``. A piece is empty where a token is a part of a
    character; the pieces after the prompt make up the whole text.

    Raises:
        ConfigError: the option ``generate`` is missing, or an option is out of its range or of another use.
    """
    if "generate" not in options:
        raise ConfigError("a language model streams the text that it generates", hint="set generate")
    for name in ("next", "tokens"):
        if options.get(name):
            raise ConfigError(f"{name} is no text that is generated", hint="leave it out of a stream")
    count, sampling = sampling_of(options)
    prompt = inputs if isinstance(inputs, str) else "".join(inputs)
    texts = continuations(bundle, prompt, count, **sampling)

    def found() -> Iterator[Streamed]:
        _, told = next(texts)
        for step, (token, text) in enumerate(texts, 1):
            # A character of several tokens is not told before it is whole.
            whole = text.startswith(told) and (step == count or not text.endswith("\ufffd"))
            piece = text[len(told) :] if whole else ""
            told = text if whole else told
            yield {"step": step, "token": token, "piece": piece, "text": text}

    return found()
