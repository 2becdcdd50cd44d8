"""Texts become the ids that the settings describe, in every run the same, and every text has ids."""

from __future__ import annotations

import json
import random
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from recurra.config import TokenizerConfig
from recurra.errors import BundleError, DataError, DependencyError, OutputError
from recurra.io.text import clean
from recurra.io.tokenizer import TextTokenizer

REVIEWS = [
    "A good film, a GOOD cast; not bad!",
    "It wasn't good. It was <b>bad</b>&#33;",
    "一部很好的电影 film",
    "不好 👍🏽 ❤️ don’t",
]


def trained(texts: list[str] = REVIEWS, **given: Any) -> TextTokenizer:
    return TextTokenizer.train(texts, TokenizerConfig(**given))


def counted(texts: list[str], size: int) -> dict[str, int]:
    """The word vocabulary counted in the test: specials, then words by count, equal counts by code point."""
    counts = Counter(word for text in texts for word in words(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return {word: id for id, word in enumerate(["<pad>", "<start>", "<unk>", *ranked][:size])}


def words(text: str) -> list[str]:
    letter = r"[\w\u0300-\u036f]"  # accents on their own are letters to Unicode, not to Python
    return re.findall(f"{letter}+(?:['’]{letter}+)*", unicodedata.normalize("NFKC", clean(text)).lower())


@given(
    st.lists(st.text(alphabet="abAB cd'9_ .,!\n<>"), max_size=20),
    st.integers(4, 12),
    st.integers(1, 9),
    st.sampled_from(["start", "end"]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_words_are_those_counted_by_hand(
    texts: list[str], size: int, most: int, cut: str, start: bool
) -> None:
    tokenizer = trained(
        texts, vocab_size=size, max_tokens=most, cut=cut, start_token=start, punctuation="drop"
    )
    vocabulary = counted(texts, size)
    assert [tokenizer.word(id) for id in range(tokenizer.vocab_size)] == list(vocabulary)
    encoded = tokenizer.encode([*texts, "zz a"])
    for text, ids, full, unknown in zip(
        [*texts, "zz a"], encoded.ids, encoded.full_lengths, encoded.unknown, strict=True
    ):
        body = [vocabulary.get(word, 2) for word in words(text)]
        room = most - start
        kept = body[max(0, len(body) - room) :] if cut == "start" else body[:room]
        assert ids.tolist() == ([1] * start + kept or [2])
        assert ids.dtype == np.int32
        assert full == max(1, len(body) + start)
        assert unknown == body.count(2)


@pytest.mark.parametrize(
    ("raw", "given", "words"),
    [
        ("Don't STOP", {}, ["don't", "stop"]),
        ("Don't STOP", {"lowercase": False}, ["Don't", "STOP"]),
        ("so-so... ok?!", {}, ["so", "-", "so", ".", ".", ".", "ok", "?", "!"]),
        ("so-so... ok?!", {"punctuation": "drop"}, ["so", "so", "ok"]),
        ("Ｆｕｌｌ ﬁlm №5", {"punctuation": "drop"}, ["full", "film", "no5"]),
        ("café cafe\u0301", {}, ["café", "café"]),
        ("हिन्दी भाषा", {}, ["हिन्दी", "भाषा"]),
        ("我爱film电影", {}, ["我", "爱", "film", "电", "影"]),
        ("好！差？", {}, ["好", "!", "差", "?"]),
        ("wow👍🏽 ❤️love", {}, ["wow", "👍", "🏽", "❤", "love"]),
        ("wow👍🏽 ❤️love", {"punctuation": "drop"}, ["wow", "love"]),
        ("a<br/>b &amp; c", {}, ["a", "b", "&", "c"]),
        ("a<br/>b", {"strip_html": False}, ["a", "<", "br", "/", ">", "b"]),
    ],
)
def test_words_of_a_text(raw: str, given: dict[str, Any], words: list[str]) -> None:
    tokenizer = trained([raw], start_token=False, **given)
    assert tokenizer.tokens(raw) == words


def test_chinese_by_word() -> None:
    tokenizer = trained(["他来到了网易杭研大厦film"], chinese="words", start_token=False)
    assert tokenizer.tokens("网易来到杭研 film") == ["网易", "来到", "杭研", "film"]


def test_chinese_by_word_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)
    with pytest.raises(DependencyError, match=re.escape("pip install 'recurra[zh]'")):
        trained(chinese="words")


@pytest.mark.parametrize("level", ["word", "subword"])
@pytest.mark.parametrize("strip_html", [True, False])
def test_the_name_of_a_special_token_in_a_text_is_not_that_token(level: str, strip_html: bool) -> None:
    tokenizer = trained(["pad start unk <pad> <start> <unk>"] * 3, level=level, strip_html=strip_html)
    for text in ("a <pad> b", "<start>", "<PAD> <unk>pad"):
        assert not {0, 1} & set(tokenizer.encode([text]).ids[0][1:].tolist())


@pytest.mark.parametrize("size", [4, 5, 20, 60, 300])
def test_pieces_fill_the_vocabulary_exactly(size: int) -> None:
    texts = [f"{a}{b}ing 好{c}" for a in "abcdefgh" for b in "stuvw" for c in "的电影很"]
    tokenizer = trained(texts, level="subword", vocab_size=size)
    assert tokenizer.vocab_size <= size
    assert [tokenizer.word(id) for id in range(3)] == ["<pad>", "<start>", "<unk>"]
    if size == 60:
        assert tokenizer.vocab_size == size
        assert tokenizer.encode(texts).unknown.sum() == 0
        assert any(len(tokenizer.word(id).strip("▁")) > 1 for id in range(3, size))


def test_pieces_are_decoded_to_the_text() -> None:
    tokenizer = trained(level="subword", vocab_size=200)
    assert (
        tokenizer.decode(tokenizer.encode(["Film  cast, wasn't\n好电影"]).ids[0]) == "film cast, wasn't好电影"
    )
    assert tokenizer.tokens("film")[1].startswith("▁")


def test_words_are_decoded_to_the_text() -> None:
    tokenizer = trained()
    ids = tokenizer.encode(["A good zebra; 很好的电影 film"]).ids[0]
    assert tokenizer.decode([*ids, 0, 0]) == "a good <unk> ; 很好的电影 film"


@pytest.mark.parametrize(
    "given", [{}, {"level": "subword"}, {"vocab_size": 40}, {"level": "subword", "vocab_size": 60}]
)
def test_the_order_of_texts_changes_no_id(given: dict[str, Any]) -> None:
    # Hundreds of equal counts, and more letters than the small vocabularies have room for.
    texts = [
        f"{chr(0x4E00 + i)} word{i} {chr(0x61 + i % 26)}{i}é{chr(0x430 + i % 32)}" for i in range(300)
    ] * 2
    prints = set()
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        prints.add(trained(texts, **given).fingerprint)
    assert len(prints) == 1


def test_the_fingerprint_changes_with_vocabulary_and_settings() -> None:
    prints = {
        trained().fingerprint,
        trained([*REVIEWS, "more"]).fingerprint,
        trained(max_tokens=499).fingerprint,
        trained(cut="start").fingerprint,
        trained(level="subword").fingerprint,
    }
    assert len(prints) == 5


@pytest.mark.parametrize("given", [{}, {"level": "subword"}, {"chinese": "words"}, {"punctuation": "drop"}])
def test_saved_and_loaded_it_gives_the_same_ids(tmp_path: Path, given: dict[str, Any]) -> None:
    tokenizer = trained(max_tokens=6, **given)
    tokenizer.save(tmp_path / "tokenizer.json")
    again = TextTokenizer.load(tmp_path / "tokenizer.json", tokenizer.config)
    assert again.fingerprint == tokenizer.fingerprint
    assert again.vocab_size == tokenizer.vocab_size
    for ids, other in zip(tokenizer.encode(REVIEWS).ids, again.encode(REVIEWS).ids, strict=True):
        assert ids.tolist() == other.tolist()
    assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]


def test_the_file_is_a_hugging_face_tokenizer(tmp_path: Path) -> None:
    tokenizer = trained()
    tokenizer.save(tmp_path / "tokenizer.json")
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert (
        plain.encode("a good zebra film").ids == tokenizer.encode(["a good zebra film"]).ids[0][1:].tolist()
    )


def damaged(described: dict[str, Any]) -> Iterator[tuple[str, str]]:
    whole = json.dumps(described)
    yield "empty", ""
    yield "truncated", whole[: len(whole) // 2]
    yield "binary", "\x00" * 50
    yield "a list", "[1, 2]"
    yield "nested", "[" * 100_000
    yield "no model", json.dumps({**described, "model": None})
    yield "other settings", json.dumps({**described, "normalizer": None})
    for name, vocabulary in {
        "no unknown": {k: v for k, v in described["model"]["vocab"].items() if k != "<unk>"},
        "swapped": {**described["model"]["vocab"], "<pad>": 1, "<start>": 0},
        "a gap": {**described["model"]["vocab"], "late": 10_000},
        "twice": {**described["model"]["vocab"], "again": 5},
        "other unknown": {**described["model"]["vocab"]},
    }.items():
        model = {**described["model"], "vocab": vocabulary}
        if name == "other unknown":
            model["unk_token"] = "film"
        yield name, json.dumps({**described, "model": model})


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    tokenizer = trained()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    described = json.loads(path.read_text(encoding="utf-8"))
    for name, text in damaged(described):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(BundleError, match=r"tokenizer\.json") as caught:
            TextTokenizer.load(path, tokenizer.config)
        assert "\n" not in str(caught.value), name
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="is not JSON"):
        TextTokenizer.load(path, tokenizer.config)
    with pytest.raises(BundleError, match="can't be read"):
        TextTokenizer.load(tmp_path / "nowhere.json", tokenizer.config)


def test_settings_that_did_not_make_the_file_are_refused(tmp_path: Path) -> None:
    tokenizer = trained()
    tokenizer.save(tmp_path / "t.json")
    with pytest.raises(BundleError, match="settings"):
        TextTokenizer.load(tmp_path / "t.json", TokenizerConfig(punctuation="drop"))


def test_a_path_that_can_not_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match=r"tokenizer\.json"):
        trained().save(tmp_path / "file" / "tokenizer.json")


def test_an_error_of_the_reader_passes_through_training() -> None:
    def texts() -> Iterator[str]:
        yield "one"
        raise DataError("the row is broken", row=2)

    for level in ("word", "subword"):
        with pytest.raises(DataError, match="row 2: the row is broken"):
            TextTokenizer.train(texts(), TokenizerConfig(level=level))  # type: ignore[arg-type]


TOKENIZERS = [
    trained(max_tokens=4),
    trained(level="subword", vocab_size=60, cut="start", max_tokens=1),
    trained(start_token=False, chinese="words", strip_html=False, max_tokens=7),
    trained([], punctuation="drop", start_token=False),
    trained([], level="subword", vocab_size=4),
]


@given(
    st.lists(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("ab'’<&好▁ \x00\ud800\ufe0f")))),
    st.sampled_from(TOKENIZERS),
)
@settings(max_examples=150, deadline=None)
def test_any_text_becomes_ids(texts: list[str], tokenizer: TextTokenizer) -> None:
    encoded = tokenizer.encode(texts)
    config = tokenizer.config
    assert len(encoded.ids) == len(texts) == len(encoded.full_lengths) == len(encoded.unknown)
    for text, ids, full, unknown in zip(
        texts, encoded.ids, encoded.full_lengths, encoded.unknown, strict=True
    ):
        assert len(ids) == min(full, config.max_tokens)
        assert 0 <= unknown <= full
        assert ids.min() >= 1
        assert ids.max() < tokenizer.vocab_size
        assert not config.start_token or ids[0] == 1
        assert 1 not in ids[config.start_token :]
        assert tokenizer.tokens(text) == [tokenizer.word(int(id)) for id in ids]
        tokenizer.decode(ids)
        # Alone or among others, a text gives the same ids.
        assert tokenizer.encode([text]).ids[0].tolist() == ids.tolist()


@pytest.mark.parametrize("id", [-1, 100])
def test_an_absent_id_has_no_word(id: int) -> None:
    with pytest.raises(IndexError):
        trained([]).word(id)


@pytest.mark.slow
@pytest.mark.parametrize("level", ["word", "subword"])
def test_a_text_of_ten_megabytes_keeps_its_words(level: str) -> None:
    tokenizer = trained(level=level, cut="start", max_tokens=3)
    encoded = tokenizer.encode(["film", "good film " * 999_999 + "bad cast", "good film", "bad cast"])
    repeated, last = encoded.full_lengths[2:] - 1
    assert encoded.full_lengths[1] == 1 + 999_999 * repeated + last
    assert encoded.ids[1].tolist() == encoded.ids[3].tolist()
    assert encoded.ids[0].tolist() == tokenizer.encode(["film"]).ids[0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["word", "subword"])
@pytest.mark.parametrize("letter", ["a", "\u0301", "'", "\x00"])
def test_megabytes_without_a_space_are_encoded_in_time(level: str, letter: str) -> None:
    texts = ["film", letter * 2_000_000]
    tokenizer = trained(texts, level=level, vocab_size=30)
    assert tokenizer.encode(texts).full_lengths[0] == 1 + len(tokenizer.tokens("film")[1:])


@pytest.mark.data
def test_imdb_words_are_those_counted_by_hand(data_folder: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(data_folder / "imdb" / "train.parquet", columns=["text"])
    texts = table["text"].to_pylist()[::20]
    tokenizer = trained(texts, vocab_size=10_000, punctuation="drop", cut="start")
    vocabulary = counted(texts, 10_000)
    assert [tokenizer.word(id) for id in range(tokenizer.vocab_size)] == list(vocabulary)
    for text, ids in zip(texts, tokenizer.encode(texts).ids, strict=True):
        assert ids.tolist() == [1, *[vocabulary.get(word, 2) for word in words(text)][-499:]]


@pytest.mark.parametrize("cut", ["start", "end"])
@pytest.mark.parametrize("start", [True, False])
def test_surfaces_show_unknown_words_of_the_text(cut: Any, start: bool) -> None:
    config = TokenizerConfig(cut=cut, start_token=start, max_tokens=6, punctuation="drop")
    tokenizer = TextTokenizer.train(["good film good"], config)
    for text in ("Good zebra, film!", "a b c d e f g h good 好", "", "good"):
        shown, tokens = tokenizer.surfaces(text), tokenizer.tokens(text)
        assert len(shown) == len(tokens)
        assert all(a == b or b == "<unk>" for a, b in zip(shown, tokens, strict=True))
    assert tokenizer.surfaces("Good zebra, film!")[-3:] == ["good", "zebra", "film"]


@given(
    texts=st.lists(
        st.text(st.characters(max_codepoint=127) | st.sampled_from("'<>&#;_ 9aZ"), max_size=60), min_size=1
    ),
    punctuation=st.sampled_from(["keep", "drop"]),
    lowercase=st.booleans(),
)
def test_ascii_texts_get_the_ids_of_the_library(texts: list[str], punctuation: Any, lowercase: bool) -> None:
    config = TokenizerConfig(punctuation=punctuation, lowercase=lowercase, vocab_size=40)
    tokenizer = TextTokenizer.train([*texts, "it's a film, isn't it? <pad> <start>"], config)
    fast = tokenizer.encode(texts)
    tokenizer._plain_ids = lambda text: None  # type: ignore[method-assign]
    slow = tokenizer.encode(texts)
    assert [ids.tolist() for ids in fast.ids] == [ids.tolist() for ids in slow.ids]
    assert fast.unknown.tolist() == slow.unknown.tolist()
    assert fast.full_lengths.tolist() == slow.full_lengths.tolist()
