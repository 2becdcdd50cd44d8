"""The tables of the kernel benchmark: peers that are ahead, and peers without results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kernels.ahead import who_is_ahead
from benchmarks.kernels.check import TOLERANCE, checked
from benchmarks.kernels.grid import GRIDS, VOCABULARY, Case
from benchmarks.kernels.peers.roster import PEERS
from benchmarks.kernels.plot import plot
from benchmarks.kernels.rows import Row, append, read
from benchmarks.kernels.slices import done, within
from benchmarks.kernels.table import markdown
from benchmarks.kernels.truth import make_data, make_truth

COURSE = Row(
    date="2026-11-21T12:00:00",
    commit="1234567",
    cpu="A CPU",
    lanes=16,
    widest=16,
    cores=2,
    threads=2,
    versions="torch 2.13.0; jax 0.10.2",
    cell="lstm",
    variant="training",
    B=64,
    T=500,
    E=32,
    H=100,
    peer="recurra",
    backend="cpu",
    malloc="default",
    p20_ms=29.0,
    p50_ms=30.0,
    p80_ms=31.0,
    n=40,
    gflops=338.0,
    peak_gflops=536.0,
    peak_percent=63.1,
    max_error=2e-6,
    error_in="x",
    others_percent=0.5,
    note="",
)


def timed(peer: str, default: float, tuned: float | None = None, **changes: object) -> list[Row]:
    """Rows of a peer in one or both malloc settings."""
    row = replace(COURSE, peer=peer, backend="cpu" if peer == "recurra" else "", **changes)
    both = {"default": default} | ({} if tuned is None else {"tuned": tuned})
    return [replace(row, malloc=malloc, p50_ms=time) for malloc, time in both.items()]


def table_of(rows: list[Row]) -> list[dict[str, str]]:
    lines = [line.strip("|").split("|") for line in markdown(rows).splitlines() if line.startswith("|")]
    heads, _, *body = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(heads, cells, strict=True)) for cells in body]


def test_times_are_compared_within_one_malloc_setting() -> None:
    rows = [*timed("recurra", 30, 25), *timed("torch.nn", 100, 40), *timed("JAX scan", 50)]
    (line,) = table_of(rows)
    assert line["B, T, E, H"] == "64, 500, 32, 100"
    assert line["recurra"] == "30 → 25"
    assert line["torch.nn"] == "100 → 40"
    assert line["JAX scan"] == "50"
    assert line["best peer ÷ recurra"] == "1.67 → 1.60 (JAX scan, torch.nn)"
    assert "ONNX Runtime" not in line
    assert "ahead in 0 of 1 cases" in markdown(rows)


def test_a_peer_that_is_ahead_is_bold() -> None:
    rows = [*timed("recurra", 30, 25), *timed("torch.nn", 100, 20), *timed("Keras JAX", 90)]
    (line,) = table_of(rows)
    assert line["best peer ÷ recurra"] == "**3.00 → 0.80, torch.nn ahead**"
    assert "A peer is ahead in 1 of 1 cases" in markdown(rows)


def test_a_peer_that_failed_the_check_has_no_time_but_a_note() -> None:
    failed = replace(timed("JAX scan", 1)[0], p50_ms=None, n=0, note="not timed: x is 1e-01 from the truth")
    text = markdown([*timed("recurra", 30), *timed("torch.nn", 60), failed])
    assert "| 2.00 (torch.nn) |" in text
    assert "JAX scan, malloc default: not timed: x is 1e-01 from the truth" in text


def test_who_was_timed_once_is_compared_with_those_that_keep_freed_memory() -> None:
    (line,) = table_of([*timed("recurra", 30), *timed("torch.nn", 60, 24)])
    assert line["best peer ÷ recurra"] == "**2.00 → 0.80, torch.nn ahead**"


def test_without_recurra_there_is_no_comparison() -> None:
    (line,) = table_of(timed("torch.nn", 60))
    assert line["recurra"] == "–"
    assert line["best peer ÷ recurra"] == "–"


def test_a_case_timed_twice_shows_only_its_last_run() -> None:
    later = {"date": "2026-11-22T09:00:00"}
    rows = [*timed("recurra", 20, **later), *timed("torch.nn", 60, **later)]
    (line,) = table_of([*rows, *timed("recurra", 30), *timed("JAX scan", 1)])
    assert (line["recurra"], line["torch.nn"]) == ("20", "60")
    assert "JAX scan" not in line


def test_a_busy_machine_is_noted() -> None:
    rows = [*timed("recurra", 30, others_percent=20.0), *timed("torch.nn", 60)]
    assert "others used more than 5% of the processors during 1 measurements" in markdown(rows)
    assert "others" not in markdown(timed("recurra", 30))


def test_machines_of_other_vector_widths_have_tables_of_their_own() -> None:
    narrow = {"lanes": 8}
    rows = [*timed("recurra", 30), *timed("torch.nn", 60)]
    rows += [*timed("recurra", 50, **narrow), *timed("torch.nn", 75, **narrow)]
    text = markdown(rows)
    assert "| 2.00 (torch.nn) |" in text
    assert "| 1.50 (torch.nn) |" in text
    assert "vectors of 16 numbers," in text
    assert "vectors of 8 numbers, of 16 that it has and the peers use," in text


def test_the_least_ratio_of_each_cell_and_form_is_shown_for_each_machine() -> None:
    narrow = {"lanes": 8, "widest": 8, "cpu": "Another CPU"}
    rows = [
        *timed("recurra", 30, 25),
        *timed("torch.nn", 60, 40),
        *timed("recurra", 10, H=256),
        *timed("ONNX Runtime", 9, H=256),
        *timed("recurra", 1, cell="gru", variant="forward_bidirectional", B=1, T=1),
        *timed("JAX scan", 3, cell="gru", variant="forward_bidirectional", B=1, T=1),
        *timed("recurra", 2, **narrow),
        *timed("torch.nn", 7, **narrow),
        *timed("torch.nn", 1, H=32, **narrow),  # without ours
    ]
    wider, narrower = who_is_ahead(rows).split("2 threads on 2 cores of Another CPU, ")
    assert narrower.splitlines() == [
        "vectors of 8 numbers: time of the best peer ÷ time of recurra, least of all shapes.",
        "",
        "|  | cases | LSTM |",
        "| --- | ---: | --- |",
        "| training | 1 | 3.50 torch.nn |",
        "",
        "A peer is ahead in 0 of 1 cases.",
    ]
    assert wider.splitlines()[1:] == [
        "",
        "|  | cases | LSTM | GRU |",
        "| --- | ---: | --- | --- |",
        "| training | 2 | **0.90 ONNX Runtime (64, 500, 32, 256)** | – |",
        "| forward bidirectional, one text | 1 | – | 3.00 JAX scan |",
        "",
        "A peer is ahead in 1 of 3 cases:",
        "",
        "- lstm training B=64 T=500 E=32 H=256: ONNX Runtime, 0.90",
        "",
    ]


def test_a_run_starts_no_case_that_may_not_end_in_time() -> None:
    now, seen = [100.0], []
    for seconds in within(8.5, [2.0, 3.0, 1.0, 9.0, 1.0], lambda: now[0]):
        seen.append(seconds)
        now[0] += seconds
    assert seen == [2.0, 3.0, 1.0]  # another could take 3, to 9
    assert list(within(0.0, [1.0])) == []


def test_a_resumed_run_leaves_out_the_rows_of_its_own_machine() -> None:
    rows = [*timed("recurra", 30), *timed("torch.nn", 60, date="2026-11-22T09:00:00")]
    assert done(rows, None) == set()
    assert done(rows, "") == {row.key for row in rows}
    assert done(rows, "2026-11-22") == {rows[1].key}
    assert replace(rows[1], lanes=8).key not in done(rows, "")
    assert replace(rows[1], commit="another", p50_ms=1.0).key in done(rows, "")


def test_words_are_those_of_a_text_and_their_gradients_add_up(tmp_path: Path) -> None:
    case = Case("gru", "tokens", 3, 40, 2, 4)
    make_data(case, tmp_path / "data.npz")
    make_truth(case, tmp_path / "data.npz", tmp_path / "truth.npz")
    with np.load(tmp_path / "data.npz") as read, np.load(tmp_path / "truth.npz") as right:
        data, truth = dict(read), dict(right)
    assert data["index"].min() > 0  # 0 is padding
    assert len(np.unique(data["index"])) < data["index"].size  # some words occur twice
    np.testing.assert_array_equal(data["x"], data["table"][data["index"]])
    np.savez(tmp_path / "dense.npz", **data)
    dense = replace(case, variant="training")
    make_truth(dense, tmp_path / "dense.npz", tmp_path / "of_x.npz")
    summed = np.zeros((VOCABULARY, case.E))
    for word, gradient in zip(
        data["index"].flat, np.load(tmp_path / "of_x.npz")["x"].reshape(-1, 2), strict=True
    ):
        summed[word] += gradient
    np.testing.assert_allclose(truth["table"], summed, rtol=0, atol=1e-12)


def test_rows_round_trip_through_the_file(tmp_path: Path) -> None:
    rows = [*timed("recurra", 30.5, 25), replace(COURSE, p50_ms=None, note="process ended, with a comma")]
    append(tmp_path / "rows.csv", rows[:1])
    append(tmp_path / "rows.csv", rows[1:])
    assert read(tmp_path / "rows.csv") == rows
    assert read(tmp_path / "none.csv") == []


def test_a_file_with_other_columns_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("date,milliseconds\n2026,1\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="other columns"):
        read(tmp_path / "rows.csv")


def test_the_plot_has_a_marker_for_every_peer(tmp_path: Path) -> None:
    rows = [row for number, peer in enumerate(PEERS, 1) for row in timed(peer, 10.0 * number)]
    plot(rows, tmp_path / "plot.svg")
    assert (tmp_path / "plot.svg").read_text(encoding="utf-8").count("<use") > len(PEERS)


def test_the_flops_of_a_case_are_those_of_its_products() -> None:
    steps = 64 * 500
    assert Case("lstm", "forward", 64, 500, 32, 100).flops(steps) == 2 * steps * 400 * 132
    assert Case("gru", "training", 64, 500, 32, 100).flops(steps) == 3 * 2 * steps * 300 * 132
    bidirectional = Case("simple_rnn", "bidirectional", 64, 500, 32, 100)
    assert bidirectional.flops(steps) == 3 * 2 * 2 * steps * 100 * 132
    stacked = Case("simple_rnn", "two_layers", 64, 500, 32, 100)
    assert stacked.flops(steps) == 3 * 2 * steps * 100 * (132 + 200)
    assert Case("lstm", "forward_tokens", 64, 500, 300, 100).flops(steps) == 2 * steps * 400 * 400
    both = Case("gru", "forward_bidirectional", 1, 50, 32, 64)
    assert both.flops(50) == 2 * 2 * 50 * 192 * 96


def test_the_full_grid_contains_the_sizes_of_the_others_once() -> None:
    full = GRIDS["full"]()
    assert len(full) == len(set(full)) == 3 * 9 * 4 * 3 * 2 * 5
    table = GRIDS["table"]()
    assert len(table) == len(set(table))
    assert set(table) <= set(full)
    for size in ("B", "T", "E", "H", "variant"):
        assert {getattr(case, size) for case in table} == {getattr(case, size) for case in full}
    parts = [GRIDS[name]() for name in ("course", "sizes", "single", "tokens")]
    assert set(table) == set().union(*parts)


@pytest.mark.parametrize(
    ("difference", "passed"), [(0.5 * TOLERANCE, True), (2 * TOLERANCE, False), (float("nan"), False)]
)
def test_a_result_far_from_the_truth_fails_the_check(tmp_path: Path, difference: float, passed: bool) -> None:
    generator = np.random.default_rng(1)
    truth = {"outputs": generator.normal(size=(2, 3, 4)), "x": generator.normal(size=(2, 3, 5))}
    result = {name: array.copy() for name, array in truth.items()}
    result["x"][1, 2, 3] += difference * np.abs(truth["x"]).max()
    result["outputs"][1, 2] = 7.0  # after the end of the row, where it is ignored
    np.savez(tmp_path / "truth.npz", **truth)
    np.savez(tmp_path / "found.npz", **result)
    check = checked(tmp_path / "found.npz", tmp_path / "truth.npz", np.array([3, 2]))
    assert (check.passed, check.name) == (passed, "x")


def test_a_missing_gradient_fails_the_check(tmp_path: Path) -> None:
    np.savez(tmp_path / "truth.npz", outputs=np.ones((1, 1, 1)), x=np.ones((1, 1, 1)))
    np.savez(tmp_path / "found.npz", outputs=np.ones((1, 1, 1)))
    assert not checked(tmp_path / "found.npz", tmp_path / "truth.npz", np.array([1])).passed
