"""POST /predict answers as `recurra predict` does, to the byte, and in the form of Hugging Face's clients."""

from __future__ import annotations

import asyncio
import csv
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from recurra import TextClassifier
from recurra.io.sample import sample_rows
from recurra.serve import answering, create_app
from tests.conftest import Run
from tests.serve.conftest import SENTENCES, Client, ask_app, series

NDJSON = {"Accept": "application/x-ndjson"}
TEXTS = [row.text for row, _ in zip(sample_rows("en")["test"], range(40), strict=False)]
ODD = ["", " ", "\x00", "电影 很 好", "😀 \u202e", "=1+1", "a" * 3000, "never seen qwxz", "line\nbreak"]


@pytest.mark.parametrize("model", ["reviews", "mixed", "words", "tags"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_lines_are_those_of_recurra_predict(
    model: str, form: str, models: Path, client: Client, run: Run
) -> None:
    texts = [*TEXTS[:6], *(text for text in ODD if "\x00" not in text)]
    given = [argument for text in texts for argument in ("--text", text)]
    expected = run("predict", models / model, *given, "--format", form).out
    accept = "text/csv" if form == "csv" else "application/x-ndjson"
    found = client.post(f"/models/{model}/predict", {"inputs": texts}, Accept=accept)
    assert found.status == 200, found
    assert found.body.decode() == expected


@pytest.mark.parametrize("model", ["reviews", "mixed"])
def test_requests_that_are_answered_together_get_the_bytes_that_they_get_alone(
    model: str, client: Client, models: Path, run: Run
) -> None:
    texts = [*TEXTS, *ODD] * 2
    with ThreadPoolExecutor(32) as pool:
        bodies = list(
            pool.map(lambda t: client.post(f"/models/{model}/predict", {"inputs": t}, **NDJSON).body, texts)
        )
    alone = [client.post(f"/models/{model}/predict", {"inputs": text}, **NDJSON).body for text in texts]
    assert bodies == alone
    lines = run("predict", models / model, "--text", texts[0], "--format", "jsonl").out
    assert bodies[0].decode() == lines


def test_a_batch_holds_the_texts_of_several_requests(models: Path) -> None:
    app = create_app([models / "reviews"], refresh=0)

    async def answers() -> tuple[list[tuple[int, bytes]], str]:
        async with app.router.lifespan_context(app):
            found = await asyncio.gather(*(ask_app(app, "/predict", {"inputs": text}) for text in TEXTS))
            return found, (await ask_app(app, "/metrics"))[1].decode()

    found, figures = asyncio.run(answers())
    assert [status for status, _ in found] == [200] * len(TEXTS)
    assert f"recurra_batch_texts_sum {len(TEXTS)}.0" in figures
    assert "recurra_batch_texts_count 1.0" in figures


def test_short_batches_are_computed_by_the_loop_and_long_ones_by_the_thread(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app([models / "reviews"], refresh=0)
    threads: list[str] = []
    compute = answering.answer_texts

    def noted(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return compute(*arguments, **options)

    async def answers() -> list[tuple[int, bytes]]:
        async with app.router.lifespan_context(app):
            texts = ["a film"] * 60 + ["a film " * 100_000]
            return [await ask_app(app, "/predict", {"inputs": text}) for text in texts]

    monkeypatch.setattr("recurra.serve.worker.answer_texts", noted)
    found = asyncio.run(answers())
    assert [status for status, _ in found] == [200] * 61
    assert found[:60] == found[:1] * 60
    assert threads[0] == threads[-1] == "recurra-worker"
    assert threading.current_thread().name in threads


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_forecast_is_that_of_recurra_predict(
    form: str, models: Path, client: Client, run: Run, tmp_path: Path
) -> None:
    columns = series(60)
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns.keys(), *zip(*columns.values(), strict=True)])
    expected = run("predict", models / "waves", path, "--format", form).out
    accept = "text/csv" if form == "csv" else "application/x-ndjson"
    for inputs in (path.read_text(), columns):
        found = client.post("/models/waves/predict", {"inputs": inputs}, Accept=accept)
        assert found.body.decode() == expected
    every = client.post("/models/waves/predict", {"inputs": columns, "parameters": {"all": True}})
    assert len(every.json) == 60 - 11


def test_labels_have_scores_in_the_order_of_their_probability(client: Client) -> None:
    one, two = client.post("/models/reviews/predict", {"inputs": TEXTS[:2]}).json
    for pairs in (one, two):
        assert {pair["label"] for pair in pairs} == {"pos", "neg"}
        assert pairs[0]["score"] >= pairs[1]["score"]
        assert abs(sum(pair["score"] for pair in pairs) - 1) < 2e-6
    first = client.post("/models/reviews/predict", {"inputs": TEXTS[0], "parameters": {"top_k": 1}}).json
    assert first == [one[:1]]


def test_hugging_faces_client_reads_the_answers(client: Client) -> None:
    hub = InferenceClient(f"{client.address}/models/reviews/predict")
    found = hub.text_classification(TEXTS[0])
    lines = client.post("/models/reviews/predict", {"inputs": TEXTS[0]}, **NDJSON).json
    assert {one.label: one.score for one in found} == lines["probabilities"]

    words = InferenceClient(f"{client.address}/models/tags/predict").token_classification(SENTENCES[0])
    assert [word.word for word in words] == SENTENCES[0].split()
    assert [SENTENCES[0][word.start : word.end] for word in words] == SENTENCES[0].split()

    generated = InferenceClient(f"{client.address}/models/words/predict").text_generation(
        "the cat", max_new_tokens=3, seed=1
    )
    given = {"inputs": "the cat", "parameters": {"generate": 3, "seed": 1}}
    assert generated == client.post("/models/words/predict", given).json[0]["generated_text"]


def test_a_language_model_takes_the_options_of_predict(client: Client, models: Path, run: Run) -> None:
    for option, value in (("next", 3), ("generate", 5)):
        arguments = ["--text", "the dog", f"--{option}", value, "--format", "jsonl"]
        expected = run("predict", models / "words", *arguments).out
        asked = {"inputs": "the dog", "parameters": {option: value}}
        assert client.post("/models/words/predict", asked, **NDJSON).body.decode() == expected


def test_words_are_explained(client: Client, models: Path, run: Run) -> None:
    expected = run("inspect", models / "mixed", "explain", TEXTS[0], "--json").out.splitlines()[-1]
    found = client.post("/models/mixed/explain", {"inputs": TEXTS[0]}).json
    known = json.loads(expected)
    known.pop("warnings")
    assert found == known
    refused = client.post("/models/words/explain", {"inputs": "the cat"})
    assert refused.status == 400
    assert "can't be explained" in refused.error


def test_as_many_labels_as_are_asked_for_of_many_classes(tmp_path: Path) -> None:
    words = [f"word{at}" for at in range(120)]
    many = TextClassifier("lstm", units=4, embedding=4, epochs=1).fit(words * 2, [*map(str, range(120))] * 2)
    many.save(tmp_path / "many")
    app = create_app([tmp_path / "many"], refresh=0)

    async def labels(**parameters: Any) -> int:
        status, body = await ask_app(app, "/predict", {"inputs": "word7", "parameters": parameters})
        assert status == 200
        return len(json.loads(body)[0])

    async def every() -> list[int]:
        async with app.router.lifespan_context(app):
            return [
                await labels(),
                await labels(top_k=20),
                await labels(top_k=3),
                await labels(all_classes=True),
            ]

    assert asyncio.run(every()) == [5, 20, 3, 120]
