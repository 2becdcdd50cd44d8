"""A language model from files to predictions: training, comparison with n-grams, saving, resuming."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from torch import Tensor, nn

from recurra import LanguageModel
from recurra.config import load_recipe
from recurra.errors import ConfigError, DataError
from recurra.tasks.base import TrainingSetup
from recurra.tasks.language.network import LanguageNetwork, StreamObjective
from recurra.tasks.language.prepare import LanguageData, prepare, stream_of, training_counts
from recurra.tasks.language.streams import StreamBatch
from recurra.tasks.language.task import TASK
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle
from recurra.tasks.use import load
from tests.conftest import Ran, Run

NOUNS, VERBS = ("cat", "dog", "bird"), ("runs", "sleeps", "sings")
SMALL = (
    "--set", "model.units=16", "--set", "model.layers=1", "--set", "model.embedding=16",
    "--set", "language.bptt=8", "--set", "train.batch_size=8", "--set", "train.epochs=3",
    "--set", "train.learning_rate=0.02",
)  # fmt: skip


def sentences(count: int, seed: int) -> list[str]:
    """Returns sentences in which the third word follows from the second."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        animal = draw.randrange(3)
        found.append(f"the {NOUNS[animal]} {VERBS[animal]} {draw.choice(('here', 'there'))} .")
    return found


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("text")
    return written(folder / "train.txt", sentences(400, 1)), written(folder / "test.txt", sentences(60, 2))


@pytest.fixture(scope="module")
def model(files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    from recurra.tasks.fit import fit_files

    out = tmp_path_factory.mktemp("model") / "lm"
    overrides = {
        "model": {"units": 16, "layers": 1, "embedding": 16, "dropout": 0.0},
        "language": {"bptt": 8, "tie": False},
        "train": {"batch_size": 8, "epochs": 12, "learning_rate": 0.02},
    }
    config = build_config(load_recipe("language-model"), overrides)
    fit_files(files[0], config, out, test=files[1], command="recurra fit train.txt")
    return out


def rows(ran: Ran) -> list[dict[str, str]]:
    assert ran.code == 0, ran.err
    return list(csv.DictReader(io.StringIO(ran.out)))


def test_a_model_is_trained_evaluated_and_reported(model: Path) -> None:
    found = json.loads((model / "metrics.json").read_text())
    assert found["evaluated_on"] == "test"
    assert found["model"]["tokens"] == 60 * 6
    # three animals and two places: log(6) nats in 6 tokens
    assert 6 ** (1 / 6) < found["model"]["value"] < 1.5
    assert found["baseline"]["order"] == 5
    assert found["baseline"]["value"] < found["unigram"]["value"]
    assert found["model"]["low"] < found["model"]["value"] < found["model"]["high"]
    for name in ("report.html", "README.md", "history.csv", "tokenizer.json", "config.yaml"):
        assert (model / name).stat().st_size > 100
    page = (model / "report.html").read_text()
    assert "Kneser-Ney" in page
    assert "Samples" in page
    assert "class" not in (model / "config.yaml").read_text().split("model:")[0]


def test_a_likely_sentence_scores_higher_and_unknown_words_are_counted(run: Run, model: Path) -> None:
    right, wrong, foreign = rows(
        run(
            "predict",
            model,
            *(f"--text={t}" for t in ("the cat runs here .", "the cat sings here .", "the xyz .")),
        )
    )
    assert float(right["log2_probability"]) > float(wrong["log2_probability"]) + 3
    assert float(right["perplexity"]) == pytest.approx(2 ** (-float(right["log2_probability"]) / 6), rel=1e-4)
    assert (right["tokens"], right["unknown"], foreign["unknown"]) == ("6", "0", "1")


def test_lines_of_a_file_are_answered_in_order_blank_ones_too(run: Run, model: Path, tmp_path: Path) -> None:
    lines = ["the dog sleeps there .", "", *sentences(5, 9)]
    found = rows(run("predict", model, written(tmp_path / "lines.txt", lines)))
    assert [int(row["row"]) for row in found] == list(range(1, 8))
    assert found[1]["tokens"] == "1"
    alone = rows(run("predict", model, "--text", lines[0]))
    assert float(alone[0]["log2_probability"]) == pytest.approx(float(found[0]["log2_probability"]), abs=1e-4)


def test_scores_of_words_add_up_to_the_texts(run: Run, model: Path) -> None:
    text = "the bird Sings nowhere ."
    parts = rows(run("predict", model, "--text", text, "--tokens"))
    assert [part["token"] for part in parts] == ["the", "bird", "sings", "nowhere", ".", "<end>"]
    (whole,) = rows(run("predict", model, "--text", text))
    total = sum(float(part["log2_probability"]) for part in parts)
    assert total == pytest.approx(float(whole["log2_probability"]), abs=1e-4)


def test_the_next_words_come_with_probabilities(run: Run, model: Path) -> None:
    found = rows(run("predict", model, "--text", "the dog", "--next", "3"))
    assert [row["rank"] for row in found] == ["1", "2", "3"]
    assert found[0]["token"] == "sleeps"
    assert float(found[0]["probability"]) > 0.8
    every = rows(run("predict", model, "--text", "the dog", "--next", "1000"))
    assert sum(float(row["probability"]) for row in every) == pytest.approx(1, abs=1e-4)
    assert "<pad>" not in {row["token"] for row in every}
    assert (
        rows(run("predict", model, "--text", "the dog sleeps here .", "--next", "1"))[0]["token"] == "<end>"
    )


def test_texts_are_generated_by_seed(run: Run, model: Path) -> None:
    def text(*options: object) -> str:
        return rows(run("predict", model, "--generate", 11, *options))[0]["text"]

    assert text("--seed", 1) == text("--seed", 1)
    assert len({text("--seed", seed) for seed in range(5)}) > 1
    assert text("--text", "the cat", "--temperature", 0).startswith("the cat runs ")
    assert "\n" in text("--seed", 1)  # an end is a line's end


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--next", 0), "--next is 0; give 1 or more"),
        (("--generate", 3, "--temperature", -1), "--temperature is -1; give 0 or more"),
        (("--generate", 3, "--top-k", 0), "--top-k is 0; give 1 or more"),
        (("--next", 2, "--generate", 3), "exclude each other"),
        (("--seed", 2), "add --generate N"),
    ],
)
def test_wrong_options_are_one_line(
    run: Run, model: Path, options: tuple[object, ...], complaint: str
) -> None:
    ran = run("predict", model, "--text", "the", *options)
    assert ran.code == 2
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


def test_options_of_language_models_are_errors_for_other_tasks(run: Run, trained: object) -> None:
    ran = run("predict", trained.folder, "--text", "x", "--next", 2)  # type: ignore[attr-defined]
    assert ran.code == 2
    assert "takes no --next; it is for task lm" in ran.err


def test_evaluate_measures_another_file(
    run: Run, model: Path, files: tuple[Path, Path], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    ran = run("evaluate", model, files[1], "--json", "--report", page)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    before = json.loads((model / "metrics.json").read_text())
    assert found["model"]["value"] == pytest.approx(before["model"]["value"])
    assert found["baseline"]["value"] == pytest.approx(before["baseline"]["value"])
    assert "perplexity" in page.read_text()


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.txt", b"", "the file is empty"),
        ("blank.txt", b"\n\n  \n", "the file is empty"),
        ("one.txt", b"one line alone\n", "there is only one text, so none can be held out"),
        ("zip.txt", b"PK\x03\x04" + bytes(600), "is a zip archive"),
        ("noise.txt", bytes(range(1, 9)) * 200, "is binary, not text"),
        ("latin.txt", "caf\u00e9 na\u00efve d\u00e9j\u00e0\nvu\n".encode("latin-1"), "is not UTF-8"),
        ("marks.txt", b"...\n!!!\n", None),
    ],
)
def test_bad_files_are_one_line(
    run: Run, tmp_path: Path, name: str, content: bytes, complaint: str | None
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    ran = run("fit", path, "--task", "lm", "--out", tmp_path / "out", *SMALL)
    if complaint is None:
        assert ran.code == 0, ran.err
        return
    assert ran.code == 2
    assert complaint in ran.err
    assert ran.err.strip().count("\n") == 0 or "Reading" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"tokenizer": {"start_token": False}}, "start token"),
        ({"train": {"monitor": "accuracy"}}, "no validation metric accuracy"),
        ({"model": {"bidirectional": True}}, "can't be bidirectional"),
        ({"language": {"output": "adaptive"}}, "can't be tied to the embedding"),
    ],
)
def test_unsupported_settings_are_errors(
    files: tuple[Path, Path], settings: dict[str, object], complaint: str
) -> None:
    config = build_config(load_recipe("language-model"), settings)
    with pytest.raises(ConfigError, match=complaint):
        prepare(files[0], config, Reporter())


def test_words_come_from_the_training_part_and_the_last_lines_are_held_out(tmp_path: Path) -> None:
    path = written(
        tmp_path / "text.txt", [*["early words stand here"] * 90, *["late others stand there"] * 10]
    )
    ready = prepare(path, build_config(load_recipe("language-model")), Reporter())
    assert ready.valid.rows.tolist() == list(range(90, 100))
    words = {ready.assets.tokenizer.word(id) for id in range(3, ready.assets.tokenizer.vocab_size)}
    assert words == {"early", "words", "stand", "here"}
    assert stream_of(ready.train).targets == 90 * 5
    assert int(training_counts(ready).sum()) == 90 * 5


def test_the_text_column_of_a_table_is_read_without_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["text", "label"], *([f"a fine film number {n}", "pos"] for n in range(40))]
        )
    ready = prepare(path, build_config(load_recipe("language-model")), Reporter())
    assert len(ready.train) + len(ready.valid) == 40
    assert ready.train.examples.labels is None
    assert not set(ready.train.rows) & set(ready.valid.rows)
    assert next(ready.train.texts(ready.train.rows[:1])).startswith("a fine film")


def test_a_character_model_reads_every_line_break_and_space(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "play.txt.gz"
    with gzip.open(path, "wt") as file:
        file.write("Ann:\n  Who?\n\nBob:\n  Me.\n\n" * 60)
    out = tmp_path / "m"
    ran = run(
        "fit", path, "--recipe", "character-model", "--out", out, "--json", *SMALL, "--set", "train.epochs=6"
    )
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["unit"] == "character"
    assert found["model"]["bits"] < 0.3
    text = rows(run("predict", out, "--generate", 50, "--temperature", 0, "--text", "Ann:"))[0]["text"]
    assert "Ann:\n  Who?\n\nBob:\n  Me.\n\nAnn:" in text


def test_tokenized_text_keeps_its_unknown_word(run: Run, tmp_path: Path) -> None:
    lines = ["Mr. <unk> has N shares", "the <unk> of N men"] * 60
    path = written(tmp_path / "ptb.txt", lines)
    arguments = ("fit", path, "--task", "lm", "--no-baseline", *SMALL, "--set", "train.epochs=1")
    warned = run(*arguments, "--out", tmp_path / "a")
    assert "tokenizer.level=whitespace" in warned.err + warned.out
    ran = run(*arguments, "--out", tmp_path / "b", "--set", "tokenizer.level=whitespace")
    assert ran.code == 0, ran.err
    tokenizer = load(tmp_path / "b").assets.tokenizer  # type: ignore[attr-defined]
    assert tokenizer.tokens(lines[0]) == ["<start>", "Mr.", "<unk>", "has", "N", "shares"]
    assert tokenizer.encode(lines[:1]).unknown.tolist() == [1]
    assert tokenizer.vocab_size == 3 + 7


@pytest.mark.parametrize("output", ["full", "sampled"])
def test_an_interrupted_training_resumes_bit_for_bit(tmp_path: Path, output: str) -> None:
    """Interrupted in the middle of an epoch: the states of the streams are restored too."""
    overrides = {
        "model": {"units": [8, 8], "layers": 2, "embedding": 8, "recurrent_dropout": 0.2},
        "language": {"bptt": 7, "output": output, "tie": True, "samples": 5},
        "train": {"epochs": 2, "batch_size": 4, "checkpoint_minutes": 1e-9},
    }
    config = build_config(load_recipe("language-model"), overrides)
    ready = prepare(written(tmp_path / "text.txt", sentences(60, 7)), config, Reporter())
    whole = train_bundle(TASK, ready, folder=tmp_path / "whole").bundle.model

    class StopError(Exception):
        pass

    def breaking_setup(prepared: LanguageData, model: LanguageNetwork, reporter: Reporter) -> TrainingSetup:
        calls = [0]

        class Breaking(StreamObjective):
            def __call__(self, model: nn.Module, batch: StreamBatch) -> Tensor:
                calls[0] += 1
                if calls[0] == 18:
                    raise StopError
                return super().__call__(model, batch)

        return replace(TASK.training_setup(prepared, model, reporter), objective=Breaking())

    with pytest.raises(StopError):
        train_bundle(replace(TASK, training_setup=breaking_setup), ready, folder=tmp_path / "stopped")
    held = safetensors.numpy.load_file(tmp_path / "stopped" / "checkpoint.safetensors")
    assert held["carried/0/h"].shape == (4, 8)
    assert np.abs(held["carried/1/c"]).max() > 0
    again = train_bundle(TASK, ready, folder=tmp_path / "stopped", resume=True).bundle.model
    for name, value in whole.state_dict().items():
        assert np.array_equal(value.numpy(), again.state_dict()[name].numpy()), name


def test_a_classifier_is_initialized_from_a_language_model(run: Run, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "labelled.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["text", "label"], *([text, text.split()[1]] for text in sentences(60, 5))]
        )
    ran = run(
        "fit", path, "--pretrained", model, "--pretrained-layers", "--freeze", "--json", "--no-baseline",
        "--out", tmp_path / "out", "--recipe", "lstm", "--set", "model.units=16", "--set", "train.epochs=2",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    origin = json.loads(ran.out)["pretrained"]
    assert (origin["layers"], origin["words"], origin["token_share"]) == (
        1,
        9,
        1.0,
    )  # the full stop is dropped there
    classifier, language_model = (load(place).model.state_dict() for place in (tmp_path / "out", model))
    for name in ("recurrent.weight_hh_l0", "recurrent.bias_ih_l0"):
        assert np.array_equal(classifier[name].numpy(), language_model[name].numpy())


def test_pretrain_makes_a_model_that_answers(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    ran = run("pretrain", files[0], "--task", "lm", "--out", tmp_path / "emb", *SMALL, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["width"] == 16
    assert rows(run("predict", tmp_path / "emb", "--text", "the dog", "--next", 1))


def test_the_estimator_learns_scores_saves_and_loads(tmp_path: Path) -> None:
    estimator = LanguageModel(
        units=16,
        layers=1,
        embedding=16,
        dropout=0.0,
        bptt=8,
        tie=False,
        batch_size=8,
        epochs=10,
        learning_rate=0.02,
    )
    texts = sentences(300, 4)
    estimator.fit(texts)
    right, wrong = estimator.log_probability(["the cat runs here .", "the cat sings here ."])
    assert right > wrong + 2
    test = sentences(50, 6)
    total = estimator.log_probability(test).sum()
    assert estimator.score(test) == pytest.approx(total / (50 * 6), rel=1e-6)
    assert estimator.perplexity(test) == pytest.approx(np.exp(-estimator.score(test)))
    assert len(estimator.history_) == 10
    assert "embedding" in estimator.summary()
    estimator.save(tmp_path / "m")
    again = LanguageModel.load(tmp_path / "m")
    assert again.get_params()["units"] == 16
    assert again.score(test) == pytest.approx(estimator.score(test))
    assert again.generate("the dog", 3, temperature=0) == estimator.generate("the dog", 3, temperature=0)
    assert again.predict_next("the dog", 2) == estimator.predict_next("the dog", 2)


@pytest.mark.parametrize("texts", ["one string", ["alone"], [["a"], ["b"]], [1, 2], []])
def test_the_estimator_refuses_inputs_that_are_not_texts(texts: object) -> None:
    with pytest.raises(DataError):
        LanguageModel().fit(texts)  # type: ignore[arg-type]


@pytest.mark.data
def test_the_penn_treebank_has_the_published_number_of_tokens(data_folder: Path) -> None:
    config = build_config(
        load_recipe("language-model"), {"tokenizer": {"level": "whitespace", "vocab_size": 10_001}}
    )
    found = (data_folder / "ptb" / f"{part}.txt.gz" for part in ("train", "valid", "test"))
    train, valid, test = found
    ready = prepare(train, config, Reporter(), valid=valid, test=test)
    assert ready.assets.tokenizer.vocab_size == 10_001
    assert ready.test is not None
    tokens = [stream_of(part).targets for part in (ready.train, ready.valid, ready.test)]
    assert tokens == [929_589, 73_760, 82_430]


@pytest.mark.data
def test_labelled_sentences_are_one_stream_without_their_labels(data_folder: Path) -> None:
    ready = prepare(
        data_folder / "sst2" / "train.tsv", build_config(load_recipe("language-model")), Reporter()
    )
    assert len(ready.train) + len(ready.valid) == 6_920
    assert stream_of(ready.train).targets + stream_of(ready.valid).targets > 130_000
    assert not next(ready.train.texts(ready.train.rows[:1])).endswith(("\t0", "\t1"))


@pytest.fixture(scope="module")
def small() -> LanguageModel:
    model = LanguageModel(units=4, layers=1, embedding=4, bptt=4, batch_size=4, epochs=1)
    return model.fit(["the cat sleeps at home", "the dog runs at night"] * 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -1}, "temperature is -1; give 0 or more"),
        ({"temperature": float("nan")}, "temperature is nan; give 0 or more"),
        ({"temperature": float("inf")}, "temperature is inf; give 0 or more"),
        ({"temperature": "hot"}, "temperature is 'hot'; give a number of 0 or more"),
        ({"top_k": 0}, "top_k is 0; give 1 or more"),
        ({"top_k": 2.5}, "top_k is 2.5; give a whole number"),
        ({"count": -1}, "count is -1; give 0 or more"),
        ({"count": None}, "count is None; give a whole number"),
        ({"seed": 2**64}, f"seed is {2**64}; give a number below 2 ** 63"),
    ],
)
def test_arguments_of_generate_are_checked(small: LanguageModel, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        small.generate("the", **{"count": 2, **given})
    assert str(refused.value) == message


def test_numpy_numbers_are_arguments_of_generate(small: LanguageModel) -> None:
    plain = small.generate("the", 3, temperature=0.5, top_k=2, seed=4)
    given = {"temperature": np.float32(0.5), "top_k": np.int64(2), "seed": np.uint8(4)}
    assert small.generate("the", np.int32(3), **given) == plain
    assert small.generate("the cat", 0) == "the cat"


def test_the_text_to_continue_is_checked(small: LanguageModel) -> None:
    for call in (small.predict_next, small.generate):
        with pytest.raises(DataError, match=r"^text: the text is missing; give a string$"):
            call(None)
        with pytest.raises(DataError, match=r"^text: the text is of type list, not str; give a string$"):
            call(["the"])
    with pytest.raises(ConfigError, match=r"^count is 0; give 1 or more$"):
        small.predict_next("the", 0)


def test_the_vocabulary_of_another_file_is_used(run: Run, tmp_path: Path) -> None:
    few, many = written(tmp_path / "few.txt", sentences(60, 1)), tmp_path / "many.txt"
    written(many, [*sentences(60, 1), "unheard of words"])
    setting = f"language.vocabulary={many}"
    common = [
        "--task",
        "lm",
        "--set",
        "train.epochs=1",
        "--set",
        "model.units=4",
        "--set",
        "model.embedding=4",
    ]
    assert run("fit", few, *common, "--set", setting, "--out", tmp_path / "a").code == 0
    tokens = json.loads((tmp_path / "a" / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    assert {"unheard", "of", "words"} <= set(tokens)
    ran = run(
        "fit", few, *common, "--set", f"language.vocabulary={tmp_path / 'none.txt'}", "--out", tmp_path / "b"
    )
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert "none.txt" in ran.err
    with pytest.raises(ConfigError, match="learned from these texts"):
        LanguageModel(settings={"language": {"vocabulary": str(many)}}).fit(sentences(20, 1))
