"""Text to token ids and back: a Hugging Face tokenizer trained on the training part only."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from recurra.config import TokenizerConfig

PAD, START, UNKNOWN = "<pad>", "<start>", "<unk>"
SPECIALS = (PAD, START, UNKNOWN)
_WORD = r"[\w&&[^\p{Han}]]+(?:['’][\w&&[^\p{Han}]]+)*"


def build(config: TokenizerConfig) -> Tokenizer:
    """The untrained pipeline that ``config`` describes."""
    steps: list[normalizers.Normalizer] = [normalizers.NFKC()]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    pattern = rf"\p{{Han}}|{_WORD}" + ("" if config.punctuation == "drop" else r"|[^\w\s]")
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return tokenizer


def train(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    """A tokenizer whose vocabulary is the most frequent words of ``texts``."""
    tokenizer = build(config)
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.vocab_size, special_tokens=list(SPECIALS), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return tokenizer
