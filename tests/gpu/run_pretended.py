"""Trains models of all tasks on the pretended device and on the CPU, and compares their weights."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import recurra
from recurra.runtime import choose_device
from recurra.tasks import estimator, training

WORDS = ["good", "bad", "nice", "awful", "film", "story", "actor", "plot"]


def texts() -> tuple[list[str], list[str]]:
    draws = random.Random(1)
    made = [draws.choices(WORDS, k=draws.randint(2, 9)) for _ in range(90)]
    return [" ".join(words) for words in made], ["pos" if "good" in words else "neg" for words in made]


def classifier(device: str, **settings: Any) -> Any:
    X, y = texts()
    given = {"units": 8, "epochs": 1, "batch_size": 16, "embedding": 5} | settings
    model = recurra.TextClassifier(device=device, **given).fit(X, y)
    model.predict(X[:20])
    model.explain(X[0])
    recurra.nearest(model, "good", 2)
    list(model.stream(X[0], recompute=True))
    return model


def everything(device: str) -> Any:
    return classifier(
        device, dropout=0.2, head_dropout=0.2, word_dropout=0.1, evidence=50, members=2, words=6,
        adversarial=0.1, average=1.0, pooling=["attention", "mean", "max", "last"], bidirectional=True,
    )  # fmt: skip


def tagger(device: str) -> Any:
    X, y = [["the", "dog", "barks"], ["a", "cat"]] * 20, [["DET", "NOUN", "VERB"], ["DET", "NOUN"]] * 20
    settings = {"units": 6, "character_units": 4, "epochs": 1, "recurrent_dropout": 0.2}
    settings["head_dropout"] = 0.0  # the order of its draws is that of the states in memory
    model = recurra.SequenceTagger(device=device, batch_size=8, **settings).fit(X, y)
    model.predict(X[:2])
    return model


def language_model(device: str, **settings: Any) -> Any:
    given = {"units": 6, "embedding": 5, "epochs": 1, "bptt": 8, "batch_size": 4} | settings
    model = recurra.LanguageModel(device=device, **given)
    model.fit(["the cat sleeps at home", "the dog runs at night"] * 30)
    model.predict_next("the cat", 3)
    model.generate("the dog", 3)
    return model


def forecaster(device: str) -> Any:
    wave = np.sin(np.arange(200) / 4)
    model = recurra.Forecaster(device=device, lookback=12, delay=2, units=6, epochs=1, batch_size=16)
    model.fit({"wave": wave}).predict({"wave": wave[:60]})
    return model


RUNS: dict[str, Callable[[str], Any]] = {
    "classifier": everything,
    "sLSTM in bfloat16": lambda device: classifier(device, recipe="lstm", cell="slstm", precision="bfloat16"),
    "tagger": tagger,
    "language model": lambda device: language_model(device),
    "language model, adaptive": lambda device: language_model(device, tie=False, output="adaptive"),
    "forecaster": forecaster,
}


def main() -> None:
    """Prints the name of each run whose weights are those of the CPU."""
    from tests.gpu import pretended

    with pretended.device() as there:
        for module in (training, estimator):
            module.choose_device = lambda name: there if name == "cuda" else choose_device("cpu")  # type: ignore
        for name in sys.argv[1:] or RUNS:
            expected, found = (RUNS[name](device).bundle_.model for device in ("cpu", "cuda"))
            assert {weight.device.type for weight in found.parameters()} == {pretended.NAME}
            for key, value in expected.state_dict().items():
                torch.testing.assert_close(
                    found.state_dict()[key].cpu(), value, rtol=0, atol=2e-5, msg=lambda m, k=key: f"{k}: {m}"
                )
            print(name, flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
