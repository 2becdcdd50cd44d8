"""Rules change what the user did not set, by facts of the training rows, and say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recurra.config import load_recipe, read_settings
from recurra.errors import ConfigError
from recurra.io.examples import Examples
from recurra.io.labels import Labels
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.classification.rules import RULES, Facts, by_rules, facts_of
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.texts import Part

MANY = Facts(25_000, 2, "binary")
SEVERAL = Facts(25_000, 9, "multilabel")


class Told(Reporter):
    """Keeps the facts."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def facts(self, facts: Any) -> None:
        self.found.update(facts)


def ruled(facts: Facts, *above: dict[str, Any], recipe: str = "default") -> tuple[Any, dict[str, str]]:
    told = Told()
    return by_rules(build_config(load_recipe(recipe), *above), facts, told), told.found


def test_the_recipe_is_for_many_rows_of_few_classes() -> None:
    config, told = ruled(MANY)
    assert (config.set_by_rule, told) == ([], {})
    assert config.plain() == build_config(load_recipe("default")).plain()


def test_what_a_rule_changes_is_said_and_saved() -> None:
    config, told = ruled(SEVERAL)
    assert config.model.pooling == "max"
    assert "model.pooling=max (several labels a row)" in told["settings by rule"].split(", ")
    assert "model.pooling=max (several labels a row)" in config.plain()["set_by_rule"]


@pytest.mark.parametrize(("rows", "classes"), [(225, 2), (900, 4), (3_600, 2), (5_452, 50), (30_000, 200)])
def test_few_rows_and_many_classes_have_enough_steps(rows: int, classes: int) -> None:
    config, told = ruled(Facts(rows, classes, "binary" if classes == 2 else "multiclass"))
    train = config.train
    assert train.epochs * rows / train.batch_size > 400
    assert train.learning_rate == 0.005
    assert ("few rows" in told["settings by rule"]) == (rows <= 4_000)
    kept, _ = ruled(Facts(rows, classes, "multiclass"), {"train": {"epochs": 3}})
    assert (kept.train.epochs, kept.train.learning_rate) == (3, 0.005)


@pytest.mark.parametrize("above", [{"model": {"pooling": "mean"}}, {"rules": False}])
def test_what_the_user_sets_takes_precedence(above: dict[str, Any]) -> None:
    config, told = ruled(SEVERAL, above)
    assert config.model.pooling == above.get("model", load_recipe("default")["model"])["pooling"]
    assert ("settings by rule" in told) == ("rules" not in above)


@pytest.mark.parametrize(
    ("rows", "median", "pairs"), [(250, 20, 0), (7_000, 19, 13_000), (20_000, 20, 40_000)]
)
def test_the_table_of_pairs_is_as_large_as_the_texts_can_fill(rows: int, median: int, pairs: int) -> None:
    assert ruled(Facts(rows, 2, "binary", median))[0].model.bigrams == pairs
    assert ruled(MANY)[0].model.bigrams == 0


def test_short_texts_have_a_wider_network_unless_it_is_pretrained() -> None:
    facts = Facts(7_000, 2, "binary", 19)
    assert ruled(facts)[0].model.units == 128
    config, _ = ruled(facts, {"train": {"pretrained": "vectors.txt"}})
    assert (config.model.units, config.model.embedding) == (64, 32)
    config, _ = ruled(facts, {"model": {"evidence": 0}}, recipe="unlabeled")
    assert (config.model.units, config.model.embedding, config.model.bigrams) == (128, 128, 0)


def test_short_texts_in_a_script_with_spaces_have_pieces_of_words() -> None:
    for facts in (Facts(7_000, 2, "binary", 19), Facts(19_000, 4, "multiclass", 45)):
        assert ruled(facts)[0].model.pieces
        assert not ruled(facts, {"model": {"pieces": False}})[0].model.pieces
        assert not ruled(replace(facts, unspaced=0.9))[0].model.pieces
        assert not ruled(replace(facts, median=200))[0].model.pieces
        assert not ruled(replace(facts, rows=1_000_000))[0].model.pieces


def test_a_network_for_many_words_reads_the_evidence_of_n_grams() -> None:
    facts = Facts(20_000, 2, "binary", 200)
    found = ruled(facts)[0]
    assert (found.model.evidence, found.model.words, found.model.bigrams) == (262_144, 3_000, 0)
    for other in (Facts(20_000, 21, "multiclass", 200), Facts(2_000, 2, "binary", 900)):
        assert ruled(other)[0].model.evidence == 0
    assert ruled(facts, recipe="unlabeled")[0].model.evidence == 1_048_576
    language_model = {"unlabeled": {"method": "language_model"}}  # whose layers read words alone
    found = ruled(facts, language_model, recipe="unlabeled")[0]
    assert (found.model.evidence, found.model.words) == (0, 0)


def test_a_saved_configuration_is_kept_as_it_is(tmp_path: Any) -> None:
    config, _ = ruled(SEVERAL, {"train": {"epochs": 7}})
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    again, told = ruled(MANY, read_settings(path))
    assert (again.model.pooling, again.train.epochs, told) == ("max", 7, {})


def test_other_recipes_are_as_their_names_say() -> None:
    assert ruled(SEVERAL, recipe="lstm")[1] == {}
    assert "settings by rule" in ruled(SEVERAL, {"rules": True}, recipe="lstm")[1]


def test_other_tasks_have_no_rules() -> None:
    with pytest.raises(ConfigError, match="no setting 'rules'"):
        build_config({"task": "lm", "rules": True})


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_every_rule_gives_settings_that_exist(kind: str) -> None:
    for rows in (1, 100, 10**7):
        for classes in (2, 50, 10_000):
            for words, unspaced in ((3, 0.0), (5_000, 1.0)):
                facts = Facts(rows, classes, kind, words, 2 * words, unspaced)
                config, _ = ruled(facts)
                assert isinstance(config, ClassifierConfig)
                for rule in RULES:
                    assert rule.reason
                    for name in rule.settings(facts):
                        section, key = name.split(".")
                        assert hasattr(getattr(config, section), key)


def test_facts_are_those_of_the_training_rows() -> None:
    texts = ["a b", "这 很 好", "a b c d e", "x " * 50]
    tokenizer = TextTokenizer.train(texts, build_config().tokenizer)
    encoded = tokenizer.encode(texts)
    examples = Examples.from_arrays(encoded.ids, np.array([0, 1, 0, 1]), full_lengths=encoded.full_lengths)
    part = Part("training", "file", examples, np.array([0, 1, 2]), lambda rows: iter(()))
    found = facts_of(part, tokenizer, Labels(("no", "yes"), "binary"), 32)
    assert (found.rows, found.classes, found.label_kind, found.median) == (3, 2, "binary", 4)
    assert found.unspaced == pytest.approx(0.3)
    assert found.epochs(steps=30, batch=32, least=10, most=100) == 100
    assert Facts(6400, 2, "binary").epochs(2000, batch=64, least=10, most=100) == 20
