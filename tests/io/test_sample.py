"""The built-in sample: correct labels and sentences, separate parts, and no information in n-grams."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import chain, combinations
from pathlib import Path
from random import Random
from typing import Literal

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from recurra.config import load_recipe
from recurra.errors import ConfigError, OutputError
from recurra.io.sample import PARTS, Language, SampleRow, sample_rows, write_sample
from recurra.io.sample.grammar import Grammar, Part
from recurra.tasks.settings import build_config

LANGUAGES = {"en": "english", "zh": "chinese"}
HAN = re.compile(r"[\u4e00-\u9fff]")

# What a reader goes by, written without a look at the marks of the grammar: cues that take back the word
# behind them, cues that take back the word before them, and how one of two judges is sided with.
DENIED_BEHIND = {
    "en": r"told me|keeps saying|wrote to me|opinion that|have you believe|somehow decided"
    r"|insists to this day|according to|gives the impression|if you trust|claims that|read somewhere"
    r"|word had gone round|expected|convinced beforehand|been prepared|had imagined|would have guessed"
    r"|always supposed|ready to bet|at first|to begin with|in the beginning|first impression|early on"
    r"|at the outset|\bthan $|\bnot $|not at all|rather than|anything but|at no moment"
    r"|not for a minute|in no way|at no point|only a fool|nobody can tell me|not hear from me"
    r"|mistake to think",
    "zh": r"告诉我|总是说|写信跟我讲|至今认为|一口咬定|逢人便说|的说法|给人的印象|要是相信|上写着"
    r"|以前在网上|大家都在传|以为|事先|早就做好|去之前|光看|原先|曾经|原想|一开始|起初|刚开头|头一眼"
    r"|最初|乍一|与其说|总比说它|不是|一点也不|谈不上|要说|外行|别想让我|不会承认",
}
DENIED_BEFORE = {
    "en": r"nonsense|further from the truth|nothing of the kind|disagree|beg to differ|simply not so",
    "zh": r"这话不对|恰恰相反|不是这么回事|不同意|不敢苟同|没有那回事",
}
FIRST = {"en": r"the former|the first of the two", "zh": r"前一个说得对|前面那位"}
SECOND = {"en": r"the latter|the second of the two", "zh": r"后一个说得对|后面那位"}


def lexicon(language: str) -> dict[str, str]:
    """Every word of praise and blame with its label."""
    grammar = Grammar.load(LANGUAGES[language])
    sections = [grammar.common, *grammar.subjects.values()]
    return {
        word: label
        for section in sections
        for label, keys in (("pos", ("praise", "praise_own")), ("neg", ("blame", "blame_own")))
        for key in keys
        for word in section.get(key, [])
    }


def reading(text: str, language: str, words: dict[str, str]) -> str:
    """The label by the rules above."""
    edge = r"\b" if language == "en" else ""
    longest_first = sorted(words, key=len, reverse=True)
    result = list(re.finditer(edge + "(" + "|".join(longest_first) + ")" + edge, text))
    labels = [words[match[0]] for match in result]
    if len(result) == 1:
        return labels[0]
    assert len(result) == 2, text
    before, between = text[: result[0].start()].lower(), text[result[0].end() : result[1].start()].lower()
    rest = text[result[0].end() :].lower()
    if re.search(FIRST[language], rest):
        return labels[0]
    if re.search(SECOND[language], rest):
        return labels[1]
    if re.search(DENIED_BEFORE[language], between) or before.endswith("less "):
        return labels[1]
    denied = [bool(re.search(DENIED_BEHIND[language], part)) for part in (before, between)]
    assert sum(denied) == 1, text
    return labels[denied.index(False)]


@pytest.fixture(scope="module", params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> Language:
    code: Language = request.param
    return code


@pytest.fixture(scope="module")
def parts(language: Language) -> dict[Part, list[SampleRow]]:
    return sample_rows(language, seed=3, train=2000, valid=301, test=600)


@pytest.fixture(scope="module")
def texts(parts: dict[Part, list[SampleRow]]) -> list[str]:
    return [row.text for row in chain(*parts.values())]


def test_sizes_are_as_asked_and_classes_balanced(parts: dict[Part, list[SampleRow]]) -> None:
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 2000, "valid": 301, "test": 600}
    for rows in parts.values():
        counts = Counter(row.label for row in rows)
        assert abs(counts["pos"] - counts["neg"]) <= 1
        # Neither is the file sorted by class.
        assert 0.3 < sum(row.label == "pos" for row in rows[:100]) / 100 < 0.7


def test_same_seed_same_rows_and_other_seed_other_rows() -> None:
    sizes = {"train": 50, "valid": 20, "test": 20}
    first = sample_rows("both", seed=5, **sizes)
    assert first == sample_rows("both", seed=5, **sizes)
    other = sample_rows("both", seed=6, **sizes)
    for part in PARTS:
        assert not {row.text for row in first[part]} & {row.text for row in other[part]}


def test_rows_do_not_hang_on_the_process() -> None:
    code = "from recurra.io.sample import sample_rows as s; print(s('zh', train=9, valid=2, test=2))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_a_part_does_not_depend_on_the_sizes_of_the_others() -> None:
    small = sample_rows("en", train=10, valid=30, test=30)
    large = sample_rows("en", train=300, valid=3, test=30)
    assert small["test"] == large["test"]


def test_no_text_occurs_twice(texts: list[str]) -> None:
    assert len(set(texts)) == len(texts)


def test_no_frame_with_the_same_slots_in_two_parts(parts: dict[Part, list[SampleRow]]) -> None:
    slots = {part: {row.slots for row in rows} for part, rows in parts.items()}
    for one, other in combinations(parts, 2):
        assert not slots[one] & slots[other]
    # The slots are what the text shows: every named word stands in it.
    for row in chain(*parts.values()):
        assert all(word in row.text for word in row.words)


def test_every_frame_occurs_with_both_labels(parts: dict[Part, list[SampleRow]], language: Language) -> None:
    frames = Grammar.load(LANGUAGES[language]).frames
    result = {(row.frame, row.label) for row in parts["train"]}
    assert result == {(frame, label) for frame in frames for label in ("pos", "neg")}


def test_labels_agree_with_an_independent_reader(
    parts: dict[Part, list[SampleRow]], language: Language
) -> None:
    words = lexicon(language)
    wrong = [row for row in chain(*parts.values()) if reading(row.text, language, words) != row.label]
    assert not wrong, wrong[0]


def test_exchanging_the_two_words_flips_the_label_and_keeps_the_bag(language: Language) -> None:
    grammar, words = Grammar.load(LANGUAGES[language]), lexicon(language)
    labels: tuple[Literal["pos"], Literal["neg"]] = ("pos", "neg")
    pairs = 0
    for seed in range(300):
        praise, blame = (grammar.row("train", label, Random(seed), 0) for label in labels)
        assert praise.text != blame.text
        assert [reading(row.text, language, words) for row in (praise, blame)] == ["pos", "neg"]
        if len(praise.words) == 2:
            assert praise.slots == blame.slots
            # "a"/"an" follows the word that comes next; nothing else may differ.
            bags = [Counter(re.sub(r"\ban\b", "a", row.text.lower())) for row in (praise, blame)]
            assert bags[0] == bags[1]
            pairs += 1
    assert pairs > 150


def test_bags_of_words_and_short_ngrams_carry_little(
    parts: dict[Part, list[SampleRow]], language: Language
) -> None:
    pattern = r"\w+" if language == "en" else r"\w"
    for longest, bound in ((1, 0.65), (3, 0.75)):
        counts = CountVectorizer(ngram_range=(1, longest), token_pattern=pattern, binary=True)
        model = make_pipeline(counts, LogisticRegression(C=0.3, max_iter=500))
        model.fit([row.text for row in parts["train"]], [row.label for row in parts["train"]])
        accuracy = model.score([row.text for row in parts["test"]], [row.label for row in parts["test"]])
        assert accuracy <= bound


def test_lengths_vary_and_fit_the_recipe(texts: list[str], language: Language) -> None:
    token = r"\w+|[^\w\s]" if language == "en" else r"\S"
    lengths = sorted(len(re.findall(token, text)) for text in texts)
    assert lengths[len(lengths) // 10] < 25
    assert lengths[len(lengths) * 9 // 10] > 60
    config = build_config(load_recipe("sample"))
    assert lengths[-1] < config.tokenizer.max_tokens
    assert config.model.cell == "lstm"


def test_english_is_well_written() -> None:
    rows = sample_rows("en", seed=4, train=3000)
    for text in (row.text for row in chain(*rows.values())):
        assert text.isascii()
        assert text.count('"') % 2 == 0
        assert re.match(r'"?[A-Z]', text), text
        assert re.search(r"[.]$", text), text
        assert not re.search(r"[.] \"?[a-z]", text), text
        assert not re.search(r"\s\s|^\s|\s$|\s[.,:]|[.,:]{2}|[.,:][A-Za-z]|[<>{}\[\]]", text), text
        for article, following in re.findall(r"\b([Aa]n?) (\w+)", text):
            vowel = following == "hour" or following[0].lower() in "aeiou"
            assert (article.lower() == "an") == vowel, text
        assert not re.search(r"\b(\w+) \1\b", text, re.IGNORECASE), text


def test_chinese_is_well_written() -> None:
    rows = sample_rows("zh", seed=4, train=3000)
    for text in (row.text for row in chain(*rows.values())):
        assert re.fullmatch(r"[\u4e00-\u9fff，。：、“”]+", text), text
        assert re.sub("[^“”]", "", text).replace("“”", "") == ""
        assert re.match(r"“?[\u4e00-\u9fff]", text), text
        assert re.search(r"[。]$", text), text
        assert not re.search(r"[，。：、]{2}|“[，。：、]|[，：、]”", text), text


def test_both_gives_each_language_half() -> None:
    rows = sample_rows("both", train=40, valid=12, test=12)
    for part in PARTS:
        chinese = sum(bool(HAN.search(row.text)) for row in rows[part])
        assert chinese == len(rows[part]) // 2
        for label in ("pos", "neg"):
            assert sum(bool(HAN.search(row.text)) for row in rows[part] if row.label == label) == chinese // 2


def test_files_have_the_rows(tmp_path: Path) -> None:
    folder = write_sample(tmp_path / "new" / "sample", "both", seed=2, train=60, valid=9, test=11)
    assert sorted(file.name for file in folder.iterdir()) == ["test.csv", "train.csv", "valid.csv"]
    rows = sample_rows("both", seed=2, train=60, valid=9, test=11)
    for part in PARTS:
        with (folder / f"{part}.csv").open(encoding="utf-8", newline="") as file:
            read = list(csv.reader(file))
        assert read == [["text", "label"], *([row.text, row.label] for row in rows[part])]


def test_a_file_that_can_not_be_written_leaves_nothing_half_done(tmp_path: Path) -> None:
    write_sample(tmp_path, seed=1, train=9, valid=2, test=2)
    (tmp_path / "train.csv").unlink()
    (tmp_path / "train.csv").mkdir()
    kept = (tmp_path / "test.csv").read_bytes()
    with pytest.raises(OutputError, match="can't be written"):
        write_sample(tmp_path, seed=2, train=9, valid=2, test=2)
    assert (tmp_path / "test.csv").read_bytes() == kept
    assert sorted(file.name for file in tmp_path.iterdir()) == ["test.csv", "train.csv", "valid.csv"]


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("x")
    with pytest.raises(OutputError, match="here"):
        write_sample(tmp_path / "here", train=2, valid=2, test=2)


def test_unknown_language_and_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="'fr'"):
        sample_rows("fr")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="valid part can't have 1 rows"):
        sample_rows("en", valid=1)


def test_an_exhausted_grammar_is_reported() -> None:
    line = {"weight": 1, "texts": ["the <part> was {true}, not {false}."]}
    subject = {"part": ["plot"], "praise_own": [], "blame_own": []}
    common = {"praise": list("abcdefgh"), "blame": list("stuvwxyz")}
    grammar = Grammar({"frames": {"only": line}, "subjects": {"film": subject}, "common": common})
    with pytest.raises(ConfigError, match="train part can't have 1,000 rows"):
        Grammar.draw([grammar], "train", 1000, 0)
