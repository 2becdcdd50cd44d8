"""Files scored by engines: the same bytes as in one process, also if workers are killed, and many files."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra import predict_files
from recurra.errors import ConfigError, DataError, OutputError
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.fit import Fitted
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.answers import _packed, _unpacked
from recurra.tasks.tagging.sentences import Sentence
from recurra.tasks.work import computed
from tests.conftest import Run

TEXTS = ["a great film, moving and funny", "dull\nand far too long", "", "zzz\ud83d\ude00", 'he said "no"']
ROWS = 9_000  # parts have 1,024


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads in one process as in each of several: the last digit of a rare answer depends on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECURRA_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose order shows in their numbers, in row groups of other sizes than the parts."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    texts = [TEXTS[n % len(TEXTS)].encode("utf-16", "surrogatepass").decode("utf-16") for n in range(ROWS)]
    columns = {
        "id": pa.array(range(ROWS), pa.int32()),
        "text": texts,
        "day": pa.array(range(ROWS), pa.date32()),
    }
    pq.write_table(pa.table(columns), path, row_group_size=777)
    return path


@pytest.fixture(scope="module")
def alone(table: Path, trained: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The answers of one process."""
    out = tmp_path_factory.mktemp("alone") / "out.parquet"
    predict_files(trained.folder, table, out, probabilities=True)
    return out


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_an_engine_gives_the_bytes_of_one_process(
    table: Path, alone: Path, trained: Fitted, tmp_path: Path, engine: str
) -> None:
    out = tmp_path / "out.parquet"
    scored = predict_files(trained.folder, table, out, probabilities=True, engine=engine, jobs=2)
    assert out.read_bytes() == alone.read_bytes()
    assert (scored.answers, scored.notes["empty text"]) == (ROWS, ROWS // 5)


class Killing(Reporter):
    """Kills processes when the first answers are written; other parts are being answered then."""

    def __init__(self, victims: Callable[[], set[int]]) -> None:
        self.victims, self.killed = victims, 0

    @contextmanager
    def counting(self, what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        def tick(rows: int) -> None:
            if not self.killed:
                for process in self.victims():
                    os.kill(process, signal.SIGKILL)
                    self.killed += 1

        yield tick


def workers() -> dict[int, int]:
    """The workers below this process, each with its parent."""
    parents, found = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if b"recurra.engines.worker" in (path / "cmdline").read_bytes():
                found[int(path.name)] = parents[int(path.name)]
        except OSError:  # it has ended
            continue

    def below(process: int) -> bool:
        return process == os.getpid() or (process in parents and below(parents[process]))

    return {process: parent for process, parent in found.items() if below(process)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("engine", ["processes", "ray"])
def test_rows_of_a_killed_worker_are_answered_once(
    table: Path, alone: Path, trained: Fitted, tmp_path: Path, engine: str
) -> None:
    killing = Killing(lambda: {*workers()} if engine == "processes" else {*workers().values()})
    out = tmp_path / "out.parquet"
    predict_files(trained.folder, table, out, probabilities=True, engine=engine, jobs=2, reporter=killing)
    assert killing.killed == 2
    assert out.read_bytes() == alone.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert not workers()


def test_many_files_are_those_of_each_alone(run: Run, trained: Fitted, tmp_path: Path) -> None:
    source, alone, out = tmp_path / "in", tmp_path / "alone", tmp_path / "out"
    source.mkdir()
    alone.mkdir()
    rows = [{"id": n, "text": TEXTS[n % 3]} for n in range(1500)]
    (source / "a.csv").write_text("id,text\n" + "".join(f"{n},great film {n}\n" for n in range(2500)))
    (source / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.table({"id": [1, 2], "text": ["dull", "great"]}), source / "c.parquet")
    (source / "d.txt").write_text("great\na dull film\n")
    files = sorted(source.iterdir())
    ran = run("predict", trained.folder, *files, "--out", out, "--engine", "inline", "--json")
    assert ran.code == 0, ran.err
    names = ["a.csv", "b.jsonl", "c.parquet", "d.csv"]
    assert sorted(path.name for path in out.iterdir()) == names
    for file, name in zip(files, names, strict=True):
        assert run("predict", trained.folder, file, "--out", alone / name).code == 0
        assert (out / name).read_bytes() == (alone / name).read_bytes()
    found = json.loads(ran.out)
    assert (found["rows"], found["notes"]) == (4004, {"empty text": 500})
    assert [file["rows"] for file in found["files"]] == [2500, 1500, 2, 2]
    scored = predict_files(trained.folder, files[:1], tmp_path / "one.csv")
    assert scored.out.read_bytes() == (alone / "a.csv").read_bytes(), "a list of one file is that file"
    scored = predict_files(trained.folder, files[0], out, form="parquet")
    assert pq.read_metadata(out / "a.parquet").num_rows == scored.answers == 2500


def test_a_file_that_cannot_be_read_leaves_those_before_it(run: Run, trained: Fitted, tmp_path: Path) -> None:
    good, out = tmp_path / "good.csv", tmp_path / "out"
    good.write_text("text\n" + "great\n" * 3000)
    for more in ((), ("--engine", "inline")):
        ran = run("predict", trained.folder, good, tmp_path / "gone.csv", "--out", out, *more)
        assert ran.code == 2
        assert "gone.csv: " in ran.err
        assert [path.name for path in out.iterdir()] == ["good.csv"]
        assert (out / "good.csv").read_text().count("\n") == 3001
        (out / "good.csv").unlink()


def test_places_that_cannot_be_written_are_refused(run: Run, trained: Fitted, tmp_path: Path) -> None:
    here, there = tmp_path / "a.csv", tmp_path / "x/a.csv"
    there.parent.mkdir()
    for path in (here, there):
        path.write_text("text\ngreat\n")
    with pytest.raises(ConfigError, match="would be the same file"):
        predict_files(trained.folder, [here, there], tmp_path / "out")
    with pytest.raises(ConfigError, match="would be replaced by its answers"):
        predict_files(trained.folder, here, tmp_path)
    with pytest.raises(OutputError, match="is not a directory"):
        predict_files(trained.folder, [here, there], here)
    with pytest.raises(ConfigError, match="there is no file"):
        predict_files(trained.folder, [], tmp_path)
    assert run("predict", trained.folder, here, there).code == 2
    assert "text\ngreat\n" == here.read_text() == there.read_text()


def test_answers_before_a_broken_row_are_read_before_its_error(trained: Fitted, tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("id,text\n" + "1,great\n" * 4000 + "2\n")
    for engine in (None, "inline"):
        with pytest.raises(DataError, match=r"broken.csv, row 4,00"):
            predict_files(trained.folder, path, tmp_path / "out.csv", engine=engine)
    assert [file.name for file in tmp_path.iterdir()] == ["broken.csv"]


def test_sentences_are_the_same_in_another_process() -> None:
    sentences = [Sentence(("A", "\u00df"), None, 4, 2), Sentence(("b",), None, 9, 3)]
    again = _unpacked(json.loads(json.dumps(_packed(sentences))))
    assert [vars(sentence) for sentence in again] == [vars(sentence) for sentence in sentences]


def test_rows_that_depend_on_one_another_are_not_shared(trained: Fitted) -> None:
    def forecast(request: PredictRequest) -> Answers:
        return Answers(["row"], iter([{"row": 1}]))

    request = PredictRequest()
    with computed(trained.folder, [request], forecast, jobs=4) as found:
        assert list(next(found).records) == [{"row": 1}]
    with (
        pytest.raises(ConfigError, match="--engine: the rows of a forecast depend on one another"),
        computed(trained.folder, [request], forecast, engine="inline"),
    ):
        pass
