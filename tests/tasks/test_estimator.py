"""What the four estimators share: parameters, their documentation and validation, state, loading."""

from __future__ import annotations

import inspect
import pickle
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.utils import estimator_checks

from recurra import Forecaster, LanguageModel, SequenceTagger, TextClassifier
from recurra.config import Config, UnlabeledConfig, parse_set
from recurra.errors import ConfigError
from recurra.tasks.estimator import RecurrentEstimator
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config
from tests.conftest import ROOT, Files

TEXTS = [
    f"{a} {b} number {n}" for n in range(6) for a, b in (("good", "film"), ("bad", "film"), ("good", "book"))
]
LABELS = ["no" if text.startswith("bad") else "yes" for text in TEXTS]
WORDS = [text.split() for text in TEXTS]
TAGS = [["ADJ", "NOUN", "NOUN", "NUM"]] * len(WORDS)
WAVE = {"wave": np.sin(np.arange(120) / 4)}
QUICK: dict[str, Any] = {"units": 4, "layers": 1, "epochs": 2, "batch_size": 4, "learning_rate": 0.03}

DATA: dict[type[RecurrentEstimator], tuple[Any, ...]] = {
    TextClassifier: (TEXTS, LABELS),
    LanguageModel: (TEXTS,),
    SequenceTagger: (WORDS, TAGS),
    Forecaster: (WAVE,),
}
OWN: dict[type[RecurrentEstimator], dict[str, Any]] = {
    TextClassifier: {"embedding": 5},
    LanguageModel: {"embedding": 5, "bptt": 4},
    SequenceTagger: {"embedding": 5, "character_units": 3},
    Forecaster: {"lookback": 6, "delay": 1},
}
every_estimator = pytest.mark.parametrize("kind", DATA, ids=lambda kind: kind.__name__)

# Settings that have no effect on, or no meaning for, a model that is trained in memory from Python objects.
OF_A_FOLDER = {"train.checkpoint_minutes", "train.tensorboard", "train.trackers"}
OF_WORDS = {
    "model.embedding",
    "model.bigrams",
    "model.evidence",
    "model.words",
    "model.members",
    "model.initial_embedding",
    "model.word_dropout",
    "train.adversarial",
    "train.embedding_rows",
    "train.pretrained",
    "train.pretrained_layers",
    "train.freeze",
    "train.unfreeze_after",
}
LEFT_OUT = {
    TextClassifier: {
        *OF_A_FOLDER,
        "predict.headline",
        *(f"unlabeled.{name}" for name in UnlabeledConfig.model_fields),
    },
    LanguageModel: {
        *OF_A_FOLDER,
        "language.vocabulary",
        "model.bidirectional",
        "model.merge_mode",
        "model.pooling",
        "model.bigrams",
        "model.evidence",
        "model.words",
        "model.members",
        "model.initial_embedding",
        "train.class_weight",
    },
    SequenceTagger: {
        *OF_A_FOLDER,
        "model.pooling",
        "model.bigrams",
        "model.evidence",
        "model.words",
        "model.members",
        "model.initial_embedding",
        "model.word_dropout",
        "train.class_weight",
        "tagging.format",
        "tagging.column",
    },
    Forecaster: {*OF_A_FOLDER, *OF_WORDS, "train.class_weight", "series.test_fraction"},
}


def quick(kind: type[RecurrentEstimator], **given: Any) -> Any:
    return kind(**{**QUICK, **OWN[kind], **given})


@pytest.fixture(scope="module", params=DATA, ids=lambda kind: kind.__name__)
def fitted(request: pytest.FixtureRequest) -> Any:
    return quick(request.param, clip_norm=0.5, random_state=3, validation_fraction=0.25).fit(
        *DATA[request.param]
    )


def weights(model: Any) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.bundle_.model.state_dict().items()}


def assert_same_weights(model: Any, other: Any) -> None:
    assert weights(model).keys() == weights(other).keys()
    for name, value in weights(model).items():
        np.testing.assert_array_equal(value, weights(other)[name], err_msg=name)


@every_estimator
def test_every_setting_of_the_task_is_a_parameter(kind: type[RecurrentEstimator]) -> None:
    config = kind()._config()
    there = {
        f"{section}.{key}"
        for section, values in config.plain().items()
        if isinstance(values, dict) and section != "data"
        for key in values
    }
    set_by = {f"{section}.{key}" for _, section, key in kind._parameter_settings() if section != "data"}
    assert there - set_by == LEFT_OUT[kind]
    assert set_by <= there


@every_estimator
def test_the_signature_and_the_documentation_name_every_parameter(kind: type[RecurrentEstimator]) -> None:
    signature = inspect.signature(kind)
    assert set(signature.parameters) == set(kind().get_params())
    recipe, *others = signature.parameters.values()
    assert (recipe.name, recipe.kind) == ("recipe", recipe.POSITIONAL_OR_KEYWORD)
    assert all(parameter.kind == parameter.KEYWORD_ONLY for parameter in others)
    assert all(parameter.default is not parameter.empty for parameter in others)
    assert get_type_hints(kind.__init__)["units"] == signature.parameters["units"].annotation
    documentation = inspect.getdoc(kind) or ""
    lines = documentation.splitlines()
    for parameter in signature.parameters.values():
        heading = next(line for line in lines if line.startswith(f"{parameter.name} : "))
        assert heading.endswith(f"default={parameter.default!r}")
        assert lines[lines.index(heading) + 1].startswith("    ")
    assert "Setting ``model.units``: hidden units" in documentation
    assert max(len(line) for line in lines) <= 110


@every_estimator
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimators_unfitted,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_mixin_order,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_scikit_learns_own_checks_pass(
    kind: type[RecurrentEstimator], check: Callable[[str, RecurrentEstimator], None]
) -> None:
    check(kind.__name__, kind())


@every_estimator
def test_an_unfitted_estimator_is_pickled_and_compares_by_identity(kind: type[RecurrentEstimator]) -> None:
    model = kind(units=(4, 5), layerwise_lr=0.5)
    again = pickle.loads(pickle.dumps(model))
    assert again.get_params() == model.get_params()
    assert again != model
    assert len({again, model}) == 2
    assert repr(model) == f"{kind.__name__}(layerwise_lr=0.5, units=(4, 5))"


@every_estimator
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation_fraction": 5}, r"^parameter validation_fraction: .*valid_fraction = 5: input should"),
        (
            {"validation_fraction": 0.0},
            r"^parameter validation_fraction: .*valid_fraction = 0\.0: input",
        ),
        ({"random_state": -1}, r"^parameter random_state: setting .*seed = -1: input should be greater"),
        (
            {"dropout": 1.5},
            r"^parameter dropout: setting model\.dropout = 1\.5: input should be less",
        ),
        ({"units": "many"}, r"^parameter units: setting model\.units = 'many': input should be"),
        ({"schedule": "steep"}, r"^parameter schedule: setting train\.schedule = 'steep': input should be"),
        ({"recipe": 5}, r"^there is no recipe '5'; "),
        ({"settings": 3}, r"^parameter settings: 3 is not a dictionary of sections$"),
        (
            {"settings": {"task": "none"}},
            r"^parameter settings: task is 'none' there, and '\w+' for this ",
        ),
        ({"settings": {"recipe": "x"}}, r"^parameter settings: recipe is 'x' there, and "),
        ({"settings": {"train": {"sed": 1}}}, r"^there is no setting 'train\.sed'; did you mean train\.seed"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(
    kind: type[RecurrentEstimator], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        quick(kind, **given).fit(*DATA[kind])
    assert "\n" not in str(refused.value)


@every_estimator
def test_an_unknown_parameter_is_refused_by_its_name(kind: type[RecurrentEstimator]) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'nits'"):
        kind(nits=3)  # type: ignore[call-arg]
    model = quick(kind)
    with pytest.raises(ValueError, match=r"has no parameter 'nits'; did you mean 'units'\?$"):
        model.set_params(units=9, nits=3)
    assert model.units == 4
    with pytest.raises(ValueError, match="has no parameter 'units__x'"):
        model.set_params(units__x=3)


@every_estimator
def test_parameters_take_precedence_over_settings_and_those_over_the_recipe(
    kind: type[RecurrentEstimator],
) -> None:
    further = {"model": {"units": 7, "dropout": 0.3}, "train": {"clip_norm": None, "tensorboard": True}}
    config = kind(units=(3, 4), settings=further)._config()
    assert (config.model.units, config.model.layers, config.model.dropout) == ([3, 4], 2, 0.3)
    assert (config.train.clip_norm, config.train.tensorboard) == (None, True)
    assert config.model.cell == kind()._config().model.cell
    assert config.recipe == kind.recipe


def test_loading_restores_every_setting(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    loaded = type(fitted).load(tmp_path / "model")
    found = fitted.bundle_.config.plain()
    found.pop("set_by_rule", None)  # told by each training
    assert loaded._config().plain() == found
    given = {name: value for name, value in fitted.get_params().items() if value is not None}
    assert {name: loaded.get_params()[name] for name in given} == given
    assert loaded.settings is None
    assert_same_weights(loaded, fitted)
    assert loaded.summary() == fitted.summary()
    assert_same_weights(clone(loaded).fit(*DATA[type(fitted)]), fitted)


def test_loading_restores_what_no_parameter_can_say(tmp_path: Path) -> None:
    further = {"train": {"clip_norm": None, "checkpoint_minutes": 5.0}}
    model = quick(TextClassifier, recipe="default", settings=further).fit(TEXTS, LABELS)
    model.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.settings == further
    assert loaded.random_state == 1


def test_fit_leaves_the_callers_random_state_and_does_not_depend_on_it(fitted: Any) -> None:
    random.seed(11)
    np.random.seed(12)  # noqa: NPY002
    torch.manual_seed(13)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    again = clone(fitted).fit(*DATA[type(fitted)])
    assert (random.getstate(), str(np.random.get_state())) == states[:2]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert_same_weights(again, fitted)


def test_the_command_line_s_path_leaves_the_random_state_too(
    sample: Files, small_config: Config, tmp_path: Path
) -> None:
    torch.manual_seed(13)
    before = torch.get_rng_state()
    fit_files(sample.valid, small_config, tmp_path / "model", baseline=False, explained=0)
    assert torch.equal(torch.get_rng_state(), before)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "mode",
    [
        torch.no_grad,
        torch.inference_mode,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.device("meta"),
        lambda: default_dtype(torch.float64),
        lambda: default_dtype(torch.bfloat16),
    ],
    ids=["no_grad", "inference_mode", "autocast", "device", "float64", "bfloat16"],
)
def test_the_callers_torch_state_has_no_effect(fitted: Any, mode: Callable[[], Any], tmp_path: Path) -> None:
    X, kind = DATA[type(fitted)][0], type(fitted)
    expected = list(fitted.predict(X)) if kind is not LanguageModel else [fitted.score(X)]
    fitted.save(tmp_path / "model")
    with mode():
        before = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype()
        again = clone(fitted).fit(*DATA[kind])
        for one in (again, fitted, kind.load(tmp_path / "model")):
            found = list(one.predict(X)) if kind is not LanguageModel else [one.score(X)]
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)
        after = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype()
    assert after == before
    assert_same_weights(again, fitted)
    assert not any(weight.is_inference() for weight in again.bundle_.model.parameters())


def test_fits_in_threads_give_what_one_alone_gives(fitted: Any) -> None:
    def work(seed: int) -> Any:
        return clone(fitted).set_params(random_state=seed).fit(*DATA[type(fitted)])

    random.seed(11)
    np.random.seed(12)  # noqa: NPY002
    torch.manual_seed(13)
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, [3, 4, 3, 4]))
    assert_same_weights(found[0], fitted)
    assert_same_weights(found[2], fitted)
    assert_same_weights(found[1], found[3])
    assert (random.getstate(), str(np.random.get_state())) == states[:2]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_fit_from_a_model_works_where_gradients_are_off(tmp_path: Path, mode: Callable[[], Any]) -> None:
    quick(TextClassifier).fit(TEXTS, LABELS).save(tmp_path / "model")
    begun = quick(TextClassifier, pretrained=tmp_path / "model", pretrained_layers=True, unfreeze_after=1)
    recipe = {"bidirectional": True}  # the layers of the default recipe
    outside = clone(begun).set_params(**recipe).fit(TEXTS, LABELS)
    with mode():
        inside = clone(begun).set_params(**recipe).fit(TEXTS, LABELS)
    assert_same_weights(inside, outside)


@every_estimator
def test_random_state_follows_the_convention_of_scikit_learn(kind: type[RecurrentEstimator]) -> None:
    def fit(random_state: object) -> Any:
        return quick(kind, epochs=1, random_state=random_state).fit(*DATA[kind])

    def seed(model: Any) -> int:
        return int(model.bundle_.config.train.seed)

    before = str(np.random.get_state())  # noqa: NPY002
    first, second = fit(None), fit(None)
    assert seed(first) != seed(second)
    assert_same_weights(fit(seed(first)), first)  # the seed that was drawn is recorded
    assert str(np.random.get_state()) == before  # noqa: NPY002
    for make in (np.random.RandomState, np.random.default_rng):
        shared = make(7)
        found = [seed(fit(shared)), seed(fit(shared))]
        assert found[0] != found[1]
        assert [seed(fit(make(7))), seed(fit(np.int64(found[1])))] == found


@every_estimator
def test_a_grid_of_numpy_numbers_is_searched(kind: type[RecurrentEstimator]) -> None:
    if kind is Forecaster:
        pytest.skip("a table has no rows to be drawn for folds")
    search = GridSearchCV(quick(kind), {"units": np.arange(2, 6, 2)}, cv=KFold(2), error_score="raise")
    search.fit(*DATA[kind])
    assert search.best_params_["units"] in (2, 4)
    assert search.best_estimator_.bundle_.config.model.units in (2, 4)


def test_class_weights_are_named_by_the_classes_as_they_are() -> None:
    y = [1 if label == "yes" else 0 for label in LABELS]
    model = quick(TextClassifier, class_weight={0: 2.0, 1: 0.5}).fit(TEXTS, y)
    assert model.bundle_.config.train.class_weight == {"0": 2.0, "1": 0.5}
    with pytest.raises(ConfigError, match=r"train\.class_weight names '2', which is not a class"):
        quick(TextClassifier, class_weight={2: 2.0}).fit(TEXTS, y)
    truths = [label == "yes" for label in LABELS]
    of_truths = quick(TextClassifier, class_weight={True: 2, False: np.float32(0.5)}).fit(TEXTS, truths)
    assert of_truths.bundle_.config.train.class_weight == {"True": 2.0, "False": 0.5}


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({0: -9.0, 1: 1.0}, "the weight of '0' is -9.0; give more than 0"),
        ({"0": 1, "1": 0}, "the weight of '1' is 0; give more than 0"),
        ({0: None}, "the weight of '0' is None; give more than 0"),
        ({0: float("nan")}, "the weight of '0' is nan; give more than 0"),
        ({0: True}, "the weight of '0' is True; give more than 0"),
    ],
)
def test_a_class_weight_that_can_not_be_is_named(weights: dict[Any, Any], complaint: str) -> None:
    message = re.escape(f"parameter class_weight: setting train.class_weight: {complaint}")
    with pytest.raises(ConfigError, match=f"^{message}$"):
        quick(TextClassifier, class_weight=weights)._config()


@pytest.mark.parametrize("weights", ["balance", [1, 2], {}, 3])
def test_other_class_weights_are_refused(weights: Any) -> None:
    with pytest.raises(ConfigError, match=r"should be none, balanced, or a mapping of classes to weights$"):
        quick(TextClassifier, class_weight=weights)._config()


def test_class_weights_of_the_command_line_have_labels_as_yaml_reads_them() -> None:
    for given in ("{0: 9, 1: 1}", "{'0': 9, '1': 1}"):
        config = build_config(parse_set(f"train.class_weight={given}"))
        assert config.train.class_weight == {"0": 9.0, "1": 1.0}
    with pytest.raises(
        ConfigError, match=r"^setting train\.class_weight: the weight of '0' is -9; give more"
    ):
        build_config(parse_set("train.class_weight={0: -9, 1: 1}"))


@every_estimator
def test_the_first_rows_are_validation_data(kind: type[RecurrentEstimator]) -> None:
    if kind is Forecaster:
        with pytest.raises(TypeError, match="unexpected keyword argument 'validation_rows'"):
            quick(kind, validation_rows=5)
        with pytest.raises(ConfigError, match=r"data\.valid_rows is not used for a series; set series\."):
            quick(kind, settings={"data": {"valid_rows": 5}}).fit(*DATA[kind])
        return
    given = DATA[kind]
    first, others = [part[:5] for part in given], [part[5:] for part in given]
    expected = quick(kind).fit(*others, validation_data=tuple(first) if len(first) > 1 else first[0])
    found = quick(kind, validation_rows=5).fit(*given)
    assert_same_weights(found, expected)
    assert found.history_["loss"] == expected.history_["loss"]
    assert found.get_params()["validation_rows"] == 5


@pytest.mark.parametrize("task", ["classify", "lm", "tag"])
def test_the_first_rows_of_a_file_are_validation_data(task: str, tmp_path: Path) -> None:
    sentences = [
        "\n".join(f"{word} {tag}" for word, tag in zip(words, tags, strict=True)) + "\n\n"
        for words, tags in zip(WORDS, TAGS, strict=True)
    ]
    rows = {
        "classify": [f"{text},{label}\n" for text, label in zip(TEXTS, LABELS, strict=True)],
        "lm": [f"{text}\n" for text in TEXTS],
        "tag": sentences,
    }[task]
    header, suffix = ("text,label\n", "csv") if task == "classify" else ("", "txt")
    paths = {}
    for name, part in {"all": rows, "first": rows[:5], "others": rows[5:]}.items():
        paths[name] = tmp_path / f"{name}.{suffix}"
        paths[name].write_text(header + "".join(part), "utf-8")
    config = build_config({"task": task, "model": {"units": 4, "embedding": 5}, "train": {"epochs": 2}})
    own = build_config({**config.plain(), "data": {**config.plain()["data"], "valid_rows": 5}})
    quiet = {"baseline": False, "explained": 0}
    found = fit_files(paths["all"], own, tmp_path / "a", **quiet)
    expected = fit_files(paths["others"], config, tmp_path / "b", valid=paths["first"], **quiet)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    assert found.bundle.config.data.valid_rows == 5
    assert expected.bundle.config.data.valid_rows is None


def test_fields_are_declared_once() -> None:
    for kind in DATA:
        names = [parameter.name for parameter in fields(kind)]  # type: ignore[arg-type]
        assert len(names) == len(set(names))
        own = set(vars(kind).get("__annotations__", {}))
        repeated = own & {name for base in kind.__mro__[1:] for name in vars(base).get("__annotations__", {})}
        assert repeated <= {"recipe", "bundle_", "validation_fraction", "random_state"}


@pytest.mark.slow
def test_a_type_checker_sees_the_parameters(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "use.py").write_text(
        "from recurra import Forecaster, TextClassifier\n"
        "TextClassifier('gru', units=[3], clip_norm=0.5, class_weight={1: 2.0}).fit(['a'], ['b']).classes_\n"
        "Forecaster(nits=3)\n"
        "TextClassifier(units='x')\n"
        "TextClassifier('gru', 'lstm')\n"
    )
    out, err, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(tmp_path / "use.py")])
    errors = [line.partition("use.py:")[2] for line in out.splitlines() if ": error: " in line]
    assert [(error[0], error.rpartition(" ")[2]) for error in errors] == [
        ("3", "[call-arg]"), ("4", "[arg-type]"), ("5", "[call-arg]")
    ], out + err  # fmt: skip
