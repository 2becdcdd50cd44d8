"""The command line: help, verbs, JSON output, and one-line error messages."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recurra.tasks.fit import Fitted
from tests.conftest import Files, Run

VERBS = ("demo", "data", "fit", "evaluate", "predict", "inspect")
QUICK = (
    "--recipe",
    "lstm",
    "--set",
    "model.units=4",
    "--set",
    "train.epochs=1",
    "--set",
    "tokenizer.vocab_size=99",
)


def last_json(text: str) -> dict[str, object]:
    result = json.loads(text.strip().splitlines()[-1])
    assert isinstance(result, dict)
    return result


def test_the_command_line_imports_no_heavy_library() -> None:
    heavy = ("torch", "numpy", "sklearn", "pyarrow", "pydantic")
    check = f"import sys, recurra.cli.main; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_help(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    assert all(f"\n  {verb}" in ran.out for verb in VERBS)
    for verb in VERBS:
        assert run(verb, "--help").code == 0


def test_version(run: Run) -> None:
    assert run("--version").out.strip().count(".") == 2


def test_fit_predict_evaluate_and_inspect_agree(run: Run, sample: Files, tmp_path: Path) -> None:
    out = tmp_path / "model"
    fitted = run(
        "fit", sample.train, "--valid", sample.valid, "--test", sample.test, "--out", out, *QUICK, "--json"
    )
    assert fitted.code == 0, fitted.err
    result = last_json(fitted.out)
    assert fitted.out.count("\n") == 1
    assert result["evaluated_on"] == "test"
    assert {"model", "baseline", "comparison", "majority_accuracy", "best_epoch"} <= set(result)
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!")

    evaluated = last_json(run("evaluate", out, sample.test, "--json").out)
    assert evaluated["model"] == result["model"]
    assert evaluated["baseline"] == result["baseline"]

    ran = run("predict", out, sample.test, "--probabilities")
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    truth = [row["label"] for row in csv.DictReader(io.StringIO(sample.test.read_text(encoding="utf-8")))]
    assert [row["label"] for row in rows] == truth
    correct = sum(row["predicted_label"] == label for row, label in zip(rows, truth, strict=True))
    assert correct / len(truth) == pytest.approx(result["model"]["accuracy"])  # type: ignore[index]
    assert all(float(row["p_neg"]) + float(row["p_pos"]) == pytest.approx(1, abs=2e-6) for row in rows)

    summary = last_json(run("inspect", out, "summary", "--json").out)
    assert summary["total"] == result["parameters"]
    explained = last_json(run("inspect", out, "explain", "It was a zebra.", "--json").out)
    assert explained["label"] in ("neg", "pos")
    assert [part["text"] for part in explained["parts"]][:3] == ["it", "was", "a"]  # type: ignore[attr-defined]


def test_predict_gives_the_same_for_file_stdin_and_text(
    run: Run, trained: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["It was great", "I hoped for more, alas", 'quite, "quite" good']
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    from_file = run("predict", trained.folder, path, "--no-columns", "--probabilities").out
    options = [part for text in texts for part in ("--text", text)]
    assert run("predict", trained.folder, *options).out == from_file
    for content in (path.read_bytes(), "\n".join(texts).encode()):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert run("predict", trained.folder, "-", "--no-columns", "--probabilities").out == from_file
    packed = tmp_path / "texts.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    out = ["--no-columns", "--probabilities", "--out", tmp_path / "answers.csv"]
    assert run("predict", trained.folder, packed, *out).code == 0
    assert (tmp_path / "answers.csv").read_text(encoding="utf-8") == from_file
    run("predict", trained.folder, path, "--probabilities", "--out", tmp_path / "answers.jsonl")
    lines = [
        json.loads(line) for line in (tmp_path / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [line["label"] for line in lines] == [
        row["label"] for row in csv.DictReader(io.StringIO(from_file))
    ]
    assert all(set(line["probabilities"]) == {"neg", "pos"} for line in lines)


def test_predict_answers_a_pipe_line_by_line(trained: Fitted) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "recurra", "predict", trained.folder, "--format", "jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number, text in enumerate((b"It was great\n", b"It was dull\n"), 1):
            process.stdin.write(text)
            process.stdin.flush()
            # This would block if predictions were written only at the end of the input.
            assert json.loads(process.stdout.readline())["row"] == number
        process.stdin.close()
        assert process.wait(60) == 0


def test_a_closed_pipe_is_not_an_error(trained: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("text\n" + "It was great\n" * 5000, encoding="utf-8")
    command = f"{sys.executable} -m recurra predict {trained.folder} {path} | head -n 2"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_data_check_finds_duplicates_conflicts_and_leaks(run: Run, tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    rows = [(f"text number {n} is here", "ab"[n % 2]) for n in range(20)]
    write_csv(train, [*rows, rows[3], (rows[4][0], "b"), ("", "a")])
    write_csv(test, [rows[5], ("a new one stands here", "a")])
    result = last_json(run("data", "check", train, "--test", test, "--json").out)
    part = result["parts"]["train"]  # type: ignore[index]
    assert (part["rows"], part["duplicates"], part["conflicts"], part["empty"]) == (23, 2, 1, 1)
    assert [leak["rows"] for leak in result["leaks"]] == [1]  # type: ignore[attr-defined]
    assert "! " in run("data", "check", train, "--test", test).out


def write_csv(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(rows)


GOOD = [(f"a text of number {n}", "ab"[n % 2]) for n in range(30)]


def bad_files(folder: Path) -> dict[str, tuple[list[object], str]]:
    """Returns arguments of `fit` and a part of the expected error message, by name of the mistake."""
    write_csv(folder / "good.csv", GOOD)
    write_csv(folder / "one.csv", [(text, "a") for text, _ in GOOD])
    write_csv(folder / "stranger.csv", [*GOOD[:3], ("another text", "c")])
    (folder / "empty.csv").write_bytes(b"")
    (folder / "bare").mkdir()
    (folder / "numbers.csv").write_text("x,y\n" + "".join(f"{n},{n % 2}\n" for n in range(30)))
    (folder / "broken.csv").write_text(
        'text,label\n"good one",a\nfine,b,extra,more\n' + "all fine here,a\n" * 9
    )
    (folder / "broken.jsonl").write_text('{"text": "one two", "label": "a"}\n{"text": "thr\n' * 3)
    (folder / "latin.csv").write_bytes(
        b"text,label\n" + "un très bon café,a\nà revoir,b\n".encode("latin-1") * 9
    )
    (folder / "config.yaml").write_text("model:\n  unit: 3\n")
    good = folder / "good.csv"
    return {
        "missing": ([folder / "nowhere.csv"], "nowhere.csv"),
        "empty": ([folder / "empty.csv"], "empty"),
        "no classes": ([folder / "bare"], "bare"),
        "no text column": ([folder / "numbers.csv"], "x"),
        "one class": ([folder / "one.csv"], "one class"),
        "stranger": ([good, "--test", folder / "stranger.csv"], "stranger.csv, row 4"),
        "broken csv": ([folder / "broken.csv"], "row 2"),
        "broken json": ([folder / "broken.jsonl"], "row 2"),
        "not utf-8": ([folder / "latin.csv"], "data.encoding="),
        "unknown key": ([good, "--config", folder / "config.yaml"], "did you mean model.units?"),
        "out of range": ([good, "--set", "model.dropout=2"], "model.dropout"),
        "unknown recipe": ([good, "--recipe", "lstn"], "did you mean lstm?"),
        "foreign directory": ([good, "--out", folder], "holds other files than a model"),
        "not writable": ([good, "--out", "/proc/model"], "can't be written"),
        "nothing to resume": ([good, "--resume"], "no checkpoint to resume"),
        "unknown group": ([good, "--group", "movie"], "movie"),
        "class weight": ([good, "--set", "train.class_weight={z: 2}"], "the classes are a, b"),
        "no backend": ([good, "--recipe", "stacked-gru", "--set", "model.backend=torch"], "backend 'torch'"),
    }


NAMES = [
    "missing", "empty", "no classes", "no text column", "one class", "stranger", "broken csv", "broken json",
    "not utf-8", "unknown key", "out of range", "unknown recipe", "foreign directory", "not writable",
    "nothing to resume", "unknown group", "class weight", "no backend",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_gives_one_line_and_exit_code_2_and_writes_nothing(
    run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = bad_files(tmp_path)[name]
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = sorted(path.name for path in tmp_path.iterdir())
    ran = run("fit", *arguments, *(() if "--recipe" in arguments else QUICK), "--set", "train.epochs=1")
    assert ran.code == 2, ran
    assert ran.err.startswith("recurra: ")
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert list(work.iterdir()) == []


def test_the_list_of_mistakes_is_complete(tmp_path: Path) -> None:
    assert sorted(bad_files(tmp_path)) == sorted(NAMES)


def test_malformed_rows_can_be_skipped(run: Run, tmp_path: Path) -> None:
    bad_files(tmp_path)
    write_csv(tmp_path / "mixed.csv", GOOD)
    with (tmp_path / "mixed.csv").open("a", encoding="utf-8") as file:
        file.write("too,many,cells,here\n")
    ran = run("fit", tmp_path / "mixed.csv", "--out", tmp_path / "model", "--skip-bad-rows", *QUICK)
    assert ran.code == 0, ran.err
    assert "skipped 1 broken row" in ran.out
    assert "row 31" in ran.out


def test_an_existing_model_is_kept_unless_overwritten(run: Run, sample: Files, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert run("fit", sample.train, "--out", out, *QUICK).code == 0
    weights = (out / "model.safetensors").read_bytes()
    ran = run("fit", sample.train, "--out", out, *QUICK, "--set", "train.seed=2")
    assert (ran.code, (out / "model.safetensors").read_bytes()) == (2, weights)
    assert "--overwrite" in ran.err
    assert run("fit", sample.train, "--out", out, *QUICK, "--set", "train.seed=2", "--overwrite").code == 0
    assert (out / "model.safetensors").read_bytes() != weights


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00\x01\x02",
        "zqx " * 50,
        "A" * 10_000_000,
        "great " * 1_700_000,
        "\ud800",
        "🙂",
        "<br />",
        "好" * 5000,
    ],
    ids=[
        "empty",
        "space",
        "control",
        "unknown",
        "ten-megabyte word",
        "ten megabytes",
        "surrogate",
        "emoji",
        "tag",
        "zh",
    ],
)
def test_any_text_gets_a_prediction(run: Run, trained: Fitted, text: str) -> None:
    ran = run("predict", trained.folder, "--text", text, "--format", "jsonl")
    assert ran.code == 0, ran.err
    probabilities = last_json(ran.out)["probabilities"]
    assert isinstance(probabilities, dict)
    assert sum(probabilities.values()) == pytest.approx(1, abs=2e-6)


def test_a_failed_prediction_keeps_the_previous_file(run: Run, trained: Fitted, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    out.write_text("previous")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "one"}\n' * 3000 + '{"text": \n')
    ran = run("predict", trained.folder, broken, "--out", out)
    assert (ran.code, out.read_text()) == (2, "previous")
    assert "row 3,001" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "broken.jsonl"]


def test_a_full_disk_during_prediction_is_a_one_line_error(run: Run, trained: Fitted) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "recurra", "predict", trained.folder, "--text", "good"]
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=os.environ
        )
    assert ran.returncode == 2
    assert ran.stderr.startswith("recurra: ")
    assert ran.stderr.count("\n") == 1
