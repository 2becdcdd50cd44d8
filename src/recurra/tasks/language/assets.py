"""What a language model needs beside its settings and weights: tokenizer and the n-grams of a mixture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from numpy.typing import NDArray

from recurra.config import TextConfig
from recurra.tasks.language.mixture import Mixture
from recurra.tasks.texts import TextAssets

__all__ = ["LanguageAssets"]

_EXPERTS, _NGRAMS = "experts.json", "ngrams.safetensors"


@dataclass(frozen=True)
class LanguageAssets(TextAssets):
    """The assets of a language model.

    Attributes:
        mixture: the n-grams that answer beside the network; None if the network answers alone.
    """

    mixture: Mixture | None = None

    def files(self) -> dict[str, str]:
        """Returns the text files by name."""
        return {**super().files(), **({} if self.mixture is None else {_EXPERTS: self.mixture.to_json()})}

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Returns the file of the n-grams, if there are any."""
        return {} if self.mixture is None else {_NGRAMS: self.mixture.state()}

    @classmethod
    def read(cls, config: TextConfig, files: Mapping[str, Any], **more: Any) -> Self:
        """Returns the assets that `files` and `arrays` wrote.

        Raises:
            BundleError: a file is damaged.
            KeyError: a file is missing.
        """
        assets = super().read(config, files, **more)
        if _EXPERTS not in files:
            return assets
        tokenizer = assets.tokenizer
        mixture = Mixture.read(files[_EXPERTS], files[_NGRAMS], tokenizer.vocab_size, tokenizer.start_id)
        return cls(tokenizer, assets.source, mixture, profile=assets.profile)
