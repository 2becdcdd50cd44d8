"""The sentences say what the figures show, and a figure takes its place whole, in three forms."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from recurra.errors import OutputError
from recurra.layers import GRU, LSTM, Recurrent, SimpleRNN
from recurra.measure.memory import Memory, measure
from recurra.measure.memory_view import sentences, table, write_figure
from tests.page import Page


def found(layer: Recurrent, steps: int = 12) -> Memory:
    torch.manual_seed(1)
    return measure(layer, [torch.randn(30, layer.input_size) for _ in range(3)], steps)


def scaled(radius: float, activation: str = "tanh") -> Memory:
    torch.manual_seed(0)
    layer = SimpleRNN(3, 6, activation=activation)
    with torch.no_grad():
        layer.weights("l0").weight_hh.mul_(radius)
    return found(layer, 20)


def test_a_matrix_below_1_is_said_to_die_and_one_above_to_blow_up() -> None:
    dying, living, bursting = (sentences(scaled(radius)) for radius in (0.3, 1.0, 3.0))
    assert "0.300, below 1" in dying["matrix"]
    assert "it falls below a half after 1 step and below a thousandth after " in dying["gradient"]
    assert "is left after 20 steps (it vanishes)" in dying["alone"]
    assert "within 0.01 of 1" in living["matrix"]
    assert "3.000, above 1" in bursting["matrix"]
    assert "tanh bounds it" in bursting["matrix"]
    assert "without tanh 3.5e9 (it grows): A^20 h(0)." in bursting["alone"]
    assert "nothing bounds it" in sentences(scaled(3.0, "relu"))["matrix"]
    assert set(dying) == {"gradient", "matrix", "alone"}


def test_gated_cells_have_a_sentence_on_the_gate_that_keeps() -> None:
    assert "opening of the forget gate is 0.7" in sentences(found(LSTM(3, 8)))["gates"]
    assert "opening of the update gate is 0.5" in sentences(found(GRU(3, 8)))["gates"]
    assert "through this gate alone no unit remembers that distance" in sentences(found(GRU(3, 8)))["gates"]


def test_a_gradient_that_passes_by_the_forget_gate_is_said_to() -> None:
    torch.manual_seed(0)
    layer = LSTM(3, 8)
    assert "through the recurrent matrix" not in sentences(found(layer, 25))["gates"]
    with torch.no_grad():  # each cell feeds itself through its candidate
        layer.weights("l0").weight_hh[16:24] = 1.6 * torch.eye(8)
        layer.weights("l0").weight_ih.mul_(0.01)
        layer.weights("l0").bias_ih[8:16] = 0.0
        layer.weights("l0").bias_ih[:8] = 1.0
        layer.weights("l0").bias_ih[24:] = 1.0
    assert "through the recurrent matrix" in sentences(found(layer, 25))["gates"]


def test_a_growing_and_a_dead_gradient_are_named() -> None:
    torch.manual_seed(0)
    layer = SimpleRNN(3, 6, activation="relu")
    with torch.no_grad():
        layer.weights("l0").weight_hh.copy_(1.5 * torch.eye(6))
        layer.weights("l0").bias_ih.fill_(9.0)
    assert "it grows with the distance" in sentences(found(layer))["gradient"]
    with torch.no_grad():
        layer.weights("l0").bias_ih.fill_(-1e6)
    assert "units are dead" in sentences(found(layer))["gradient"]


def test_the_table_has_a_column_a_layer_and_direction() -> None:
    header, rows = table({"m": found(LSTM(3, [4, 5], bidirectional=True))})
    assert header == [
        "", "LSTM layer 1 forward", "LSTM layer 1 backward", "LSTM layer 2 forward", "LSTM layer 2 backward",
    ]  # fmt: skip
    assert all(len(row) == 5 for row in rows)
    named = {row[0]: row[1:] for row in rows}
    assert named["gradient 12 back"][2]
    assert not any(named["gradient 12 back"][n] for n in (0, 1, 3))
    assert len([row for row in rows if row[0].endswith(" gate")]) == 3


@pytest.mark.parametrize("layer", [SimpleRNN(3, 4), GRU(3, [4, 5])], ids=["plain", "gated"])
def test_a_figure_is_a_page_or_a_picture(layer: Recurrent, tmp_path: Path) -> None:
    seen = found(layer)
    for name in ("figure.html", "figure.PNG", "figure.svg"):
        write_figure({"<m>": seen}, tmp_path / name, "Memory of <my> model", {"<m>": sentences(seen)})
    page = (tmp_path / "figure.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "Memory of &lt;my&gt; model" in page
    assert "<my>" not in page
    assert "<script" not in page
    assert sentences(seen)["matrix"] in page
    assert page.count("<svg") == (4 if seen.last.gates else 3)
    assert page.count("<figcaption") == page.count("<svg")
    assert (tmp_path / "figure.PNG").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_figure_with_values_beyond_numbers_is_drawn(tmp_path: Path) -> None:
    layer = SimpleRNN(3, 4, activation="relu")
    with torch.no_grad():
        layer.weights("l0").weight_hh.copy_(30.0 * torch.eye(4))
        layer.weights("l0").bias_ih.fill_(99.0)
    seen = measure(layer, [torch.randn(300, 3)], 250)
    assert seen.last.linear.left[-1] is None
    assert seen.gradient.median[-1] > 1e140
    json.loads(json.dumps(seen.model_dump(mode="json"), allow_nan=False))
    write_figure({"m": seen}, tmp_path / "figure.svg", "blown", {"m": sentences(seen)})
    assert "more than 1e308 (it grows)" in sentences(seen)["alone"]


def test_a_name_without_a_known_ending_is_refused(tmp_path: Path) -> None:
    seen = found(SimpleRNN(3, 4))
    (tmp_path / "folder.png").mkdir()
    for name in ("figure.pdf", "figure", "folder.png"):
        with pytest.raises(OutputError, match=name):
            write_figure({"m": seen}, tmp_path / name, "", {})


def test_two_networks_are_one_page_in_its_colours_with_one_table(tmp_path: Path) -> None:
    networks = {"simple-rnn": found(SimpleRNN(3, 4)), "lstm <l>": found(LSTM(3, 4))}
    header, rows = table(networks)
    assert header == ["", "simple-rnn", "lstm <l>"]
    named = {row[0]: row[1:] for row in rows}
    assert len(named) == len(rows)
    assert all(named["gradient 12 back"])
    assert named["forget gate"][0] == ""
    assert named["forget gate"][1]
    assert [row[0] for row in rows].index("forget gate") > [row[0] for row in rows].index("gradient 12 back")
    lines = {name: sentences(memory) for name, memory in networks.items()}
    write_figure(networks, tmp_path / "page.html", "Memory of two", lines)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.tags.count("svg") == 4
    charts = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    for chart in charts:
        assert not re.search(r"(?:fill|stroke): #[0-9a-f]{6}", chart)  # colours of the page, so also dark
        assert "simple-rnn and lstm &lt;l&gt;" in chart
    assert "no gates: simple-rnn" in page.text
    assert all(line in page.text for said in lines.values() for line in said.values())
    assert re.findall(r'<section id="([a-z-]+)"', html) == ["figures", "network-a", "network-b", "table"]
    write_figure(networks, tmp_path / "picture.svg", "Memory of two", lines)
