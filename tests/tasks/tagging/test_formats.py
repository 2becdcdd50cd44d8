"""Which files are found to hold tagged sentences: each format by its first lines, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.tasks.registry import task_of_file
from recurra.tasks.tagging.sentences import detect_sentences, read_sentences
from recurra.tasks.tagging.settings import TaggingConfig

BROWN = "\n\n\n\tThe/at Fulton/np-tl dog/nn ''/'' barks/vbz 1/2/cd ./.\n\n\n\tThe/at cat/nn sat/vbd ./.\n"
CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O
German JJ B-NP B-MISC
call NN I-NP O
. . O O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER

"""
CHUNKS = "Confidence NN B-NP\nin IN B-PP\nthe DT B-NP\npound NN I-NP\n\n"
LOWER = "the\tdet\t\ndog\tnoun\t\nbarks\tverb\t\n\na\tdet\t\ncat\tnoun\t\n\n"
CONLLU = "\n".join(
    f"{n}\t{word}\t_\t{tag}\t_\t_\t0\troot\t_\t_"
    for n, word, tag in ((1, "go", "VERB"), (2, "on", "ADP"), (3, ".", "PUNCT"))
)
TREES = """( (S (NP-SBJ (NNP Pierre) (NNP Vinken) )
    (VP (MD will) (VP (VB join) (NP (DT the) (NN board) )))
    (. .) ))
( (S (NP-SBJ (NNP Mr.) (NNP Vinken) ) (VP (VBZ is) (NP-PRD (NN chairman) )) (. .) ))
"""


@pytest.mark.parametrize(
    ("content", "format", "first"),
    [
        (BROWN, "brown", ["The/at", "Fulton/np-tl", "dog/nn", "''/''", "barks/vbz", "1/2/cd", "./."]),
        (CONLL_2003, "columns", ["EU/B-ORG", "rejects/O", "German/B-MISC", "call/O", "./O"]),
        (
            CONLL_2003.replace(" ", "\t"),
            "columns",
            ["EU/B-ORG", "rejects/O", "German/B-MISC", "call/O", "./O"],
        ),
        (CHUNKS, "columns", ["Confidence/B-NP", "in/B-PP", "the/B-NP", "pound/I-NP"]),
        (LOWER, "columns", ["the/det", "dog/noun", "barks/verb"]),
        (f"# text = go on\n{CONLLU}\n\n# newdoc\n{CONLLU}\n", "conllu", ["go/VERB", "on/ADP", "./PUNCT"]),
    ],
)
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_tagged_sentences_are_found_by_their_first_lines(
    tmp_path: Path, content: str, format: str, first: list[str], ending: str
) -> None:
    path = tmp_path / "data.txt"
    path.write_text(content * 3, encoding="utf-8", newline=ending)
    assert task_of_file(path).name == "tag"
    source = detect_sentences(path, DataConfig(), TaggingConfig())
    assert source.format == format
    sentence = next(iter(read_sentences(source)))
    assert [f"{word}/{tag}" for word, tag in zip(sentence.words, sentence.tags or (), strict=True)] == first


OTHERS = {
    "verses": "to be\nor not\n\nthat is\nto die\n\n",
    "a glossary": "\n".join(f"chat{n} cat{n}" + "\n" * (n % 3 == 0) for n in range(30)),
    "words with classes": "name\tgender\n" + "\n".join(f"Anna{n}\tF\nBob{n}\tM" for n in range(30)),
    "rows with blank lines between them": "\n\n".join(
        f"word{n}\t{'POS' if n % 2 else 'NEG'}" for n in range(30)
    ),
    "texts with classes, in blocks": "\n\n".join(
        f"a good film {n}\tPOS\na bad film {n}\tNEG" for n in range(30)
    ),
    "columns of numbers, in blocks": "\n\n".join(f"{n}\t1.5\n{n + 1}\t1.5" for n in range(30)),
    "a table of ten columns": "\n".join("\t".join(map(str, range(n, n + 10))) for n in range(1, 30)),
    "addresses": "\n".join(f"https://example.org/a/{n % 3}" for n in range(30)),
    "dates": "from 01/02/2020 to 03/04/2020\n" * 9 + "01/02/2020 03/04/2020\n" * 9,
    "either/or": "he/she his/her\nand/or both/none\n" * 9,
    "text with slashes": "The and/or operator is written as either and/or.\nIt is km/h here.\n" * 9,
    "csv": "text,label\nThe/at dog,pos\nA/at cat,neg\n" * 5,
    "fasttext": "__label__a the dog\n__label__b a cat\n\n" * 5,
    "json": '{"text": "The/at dog/nn", "label": "a"}\n' * 5,
    "text in brackets": "(a) The first point (see 1).\n(b) The second point (see 2).\n" * 5,
    "lisp": "(define (square x) (* x x))\n(display (square 3))\n" * 5,
    "columns with an empty last cell": "\n\n".join("a\tb\t\t\nc\td\t\t" for n in range(9)),
    "one block": "the\tDET\ndog\tNOUN\n" * 9,
    "blank": " \n\n",
}


@pytest.mark.parametrize("content", OTHERS.values(), ids=list(OTHERS))
def test_other_files_are_not_taken_for_tagged_sentences(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data.tsv"
    path.write_text(content, encoding="utf-8")
    assert task_of_file(path).name == "classify"


def test_what_can_not_be_read_is_left_to_the_reader_of_texts(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"PK\x03\x04" + bytes(range(256)) * 9)
    for name in ("binary", "missing", ""):
        assert task_of_file(tmp_path / name).name == "classify"


@pytest.mark.data
def test_known_data_sets_keep_their_task(data_folder: Path) -> None:
    tagged = {
        path.name for path in data_folder.rglob("*") if path.is_file() and task_of_file(path).name == "tag"
    }
    assert tagged == {"train.conllu.gz", "dev.conllu.gz", "test.conllu.gz"}


def test_parse_trees_are_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "wsj_0001.mrg"
    path.write_text(TREES)
    assert task_of_file(path).name == "tag"
    for labelled in (True, False):
        with pytest.raises(DataError) as caught:
            detect_sentences(path, DataConfig(), TaggingConfig(), labelled=labelled)
        line = str(caught.value)
        assert line.startswith(
            f"{path}: holds parse trees, not words and tags; write a line of word/tag for each"
        )
        assert "nltk.Tree.fromstring(tree).pos()" in line
        assert "\n" not in line


def test_a_word_without_a_slash_is_refused_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("The/at dog/nn\n" * 40 + "\nThe/at dog\n")
    with pytest.raises(DataError, match="row 42: the word 'dog' has no tag; write word/tag"):
        list(read_sentences(detect_sentences(path, DataConfig(), TaggingConfig())))
    source = detect_sentences(path, DataConfig(skip_bad_rows=True), TaggingConfig())
    assert len(list(read_sentences(source))) == 40


def test_words_alone_are_told_from_word_and_tag(tmp_path: Path) -> None:
    """A model trained on word/tag reads such files and plain sentences; another model reads them too."""
    train = tmp_path / "train.txt"
    train.write_text(BROWN * 3)
    like = detect_sentences(train, DataConfig(), TaggingConfig())
    plain = tmp_path / "plain.txt"
    plain.write_text("The dog and/or the cat\nsat .\n")
    for file, trained, words in (
        (plain, like, ("The", "dog", "and/or", "the", "cat")),
        (train, like, ("The", "Fulton", "dog", "''", "barks", "1/2", ".")),
        (train, None, ("The", "Fulton", "dog", "''", "barks", "1/2", ".")),
        (plain, None, ("The", "dog", "and/or", "the", "cat")),
    ):
        source = detect_sentences(file, DataConfig(), TaggingConfig(), labelled=False, like=trained)
        assert next(iter(read_sentences(source))).words == words
