"""`recurra fit` on every file format, and with several labels per row."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy

from tests.conftest import Run

QUICK = ("--recipe", "lstm", "--no-baseline", "--json", "--set", "model.units=5", "--set", "train.epochs=1")
ROWS = [(f"the {a} {b} of number {n}", a) for n in range(12) for a, b in (("good", "film"), ("bad", "plot"))]


def write(folder: Path, form: str, rows: list[tuple[str, str]] = ROWS) -> Path:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    path = folder / f"data.{form}"
    if form in ("csv", "tsv", "csv.gz"):
        lines = [["text", "label"], *map(list, rows)] if form != "tsv" else list(map(list, rows))
        plain = folder / "plain"
        with plain.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t" if form == "tsv" else ",").writerows(lines)
        content = plain.read_bytes()
        plain.unlink()
        path.write_bytes(gzip.compress(content) if form.endswith("gz") else content)
    elif form == "jsonl":
        lines_of_json = [json.dumps({"text": text, "label": label}) for text, label in rows]
        path.write_text("\n".join(lines_of_json), encoding="utf-8")
    elif form == "parquet":
        pq.write_table(pa.table({"text": texts, "label": labels}), path)
    elif form == "txt":
        path.write_text("".join(f"__label__{label} {text}\n" for text, label in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def from_csv(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("formats")
    return write(folder, "csv"), folder / "model"


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "jsonl", "parquet", "txt"])
def test_every_format_gives_the_same_model(
    run: Run, form: str, from_csv: tuple[Path, Path], tmp_path: Path
) -> None:
    data, reference = from_csv
    if not reference.exists():
        assert run("fit", data, "--out", reference, *QUICK).code == 0
    ran = run("fit", write(tmp_path, form), "--out", tmp_path / "model", *QUICK)
    assert ran.code == 0, ran.err
    expected, weights = (
        safetensors.numpy.load_file(f / "model.safetensors") for f in (reference, tmp_path / "model")
    )
    assert all((expected[name] == weights[name]).all() for name in expected)


def test_a_folder_with_train_and_test_is_used_for_both(run: Run, tmp_path: Path) -> None:
    for part, rows in (("train", ROWS), ("test", ROWS[:6])):
        for number, (text, label) in enumerate(rows):
            place = tmp_path / "aclImdb" / part / label
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number}_7.txt").write_text(text, encoding="utf-8")
    (tmp_path / "aclImdb" / "train" / "unsup").mkdir()
    (tmp_path / "aclImdb" / "train" / "unsup" / "0_0.txt").write_text("unlabelled", encoding="utf-8")
    ran = run("fit", tmp_path / "aclImdb", "--out", tmp_path / "model", *QUICK)
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert (result["evaluated_on"], result["model"]["rows"]) == ("test", 6)
    assert [row["name"] for row in result["model"]["classes"]] == ["bad", "good"]


def test_several_labels_per_row(run: Run, tmp_path: Path) -> None:
    rows = [(f"{a} {b} {n}", "|".join(sorted({a, b} - {"nothing"}))) for n in range(8)
            for a in ("food", "service") for b in ("price", "nothing")]  # fmt: skip
    data = write(tmp_path, "csv", rows)
    ran = run(
        "fit", data, "--out", tmp_path / "model", "--recipe", "lstm", "--json", "--set", "train.epochs=2"
    )
    assert ran.code == 0, ran.err
    metrics = json.loads(ran.out)["model"]
    assert (metrics["label_kind"], len(metrics["classes"]), metrics["confusion"]) == ("multilabel", 3, None)
    assert 0 <= metrics["micro_f1"] <= 1
    answer = json.loads(run("predict", tmp_path / "model", "--text", "food", "--format", "jsonl").out)
    assert set(answer["probabilities"]) == {"food", "price", "service"}
    assert run("evaluate", tmp_path / "model", data, "--report", tmp_path / "r.html").code == 0
    assert "food" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_columns_can_be_set(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["head", "body", "stars", "label"])
        writer.writerows((f"headline {n}", f"a body of text {n}", n % 3, "same") for n in range(30))
    ran = run("fit", path, "--out", tmp_path / "model", *QUICK,
              "--set", "data.text=[head, body]", "--set", "data.label=stars")  # fmt: skip
    assert ran.code == 0, ran.err
    assert [row["name"] for row in json.loads(ran.out)["model"]["classes"]] == ["0", "1", "2"]
    assert "label_kind: auto" in (tmp_path / "model" / "config.yaml").read_text(encoding="utf-8")


def test_tensorboard_logs_are_written_if_set(run: Run, tmp_path: Path) -> None:
    data = write(tmp_path, "csv")
    assert run("fit", data, "--out", tmp_path / "model", *QUICK, "--set", "train.tensorboard=true").code == 0
    assert list((tmp_path / "model" / "training" / "tensorboard").glob("events.*"))
