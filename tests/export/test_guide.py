"""The page of the guide in a browser and the program for Node give the answers of recurra."""

from __future__ import annotations

import functools
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.use import load
from tests.conftest import ROOT
from tests.export.conftest import MODULES, node, require_packages

GUIDE = (ROOT / "docs" / "guide" / "export.md").read_text(encoding="utf-8")
TEXT = "I expected a dull film, but it was great."


def block(language: str) -> str:
    """The code of the guide in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture
def site(exported: Path, tmp_path: Path) -> Path:
    """A directory as the guide describes it."""
    require_packages()
    (tmp_path / "my-model-onnx").symlink_to(exported)
    (tmp_path / "node_modules").symlink_to(MODULES)
    return tmp_path


def expected(classifier: Path, digits: int) -> str:
    bundle = load(classifier)
    p = predict_texts(bundle, [TEXT])[0]
    return f"{bundle.assets.labels.names[p.argmax()]} {p.max():.{digits}f}"


def test_the_program_for_node_runs(classifier: Path, site: Path) -> None:
    (site / "program.mjs").write_text(block("js"), encoding="utf-8")
    assert node(site / "program.mjs").strip()[:-1] == expected(classifier, 6)[:-1]


def test_the_command_for_node_runs(site: Path, exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "node_modules").symlink_to(MODULES)
    for file in exported.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert '"label"' in node(folder / "client.mjs", TEXT)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    extensions_map: ClassVar = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
    }

    def log_message(self, *values: object) -> None:
        pass


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """The address of a server of the site."""
    (site / "index.html").write_text(block("html"), encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_page_runs_in_a_browser(classifier: Path, address: str) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(
        (path for path in map(Path, ["/usr/bin/chromium", "/usr/bin/google-chrome"]) if path.exists()), None
    )
    if chromium is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        page.wait_for_function("document.getElementById('answer').value === 'ready'", timeout=120_000)
        page.fill("#text", TEXT)
        page.keyboard.press("Tab")
        page.wait_for_function("document.getElementById('answer').value !== 'ready'", timeout=60_000)
        answer = page.evaluate("document.getElementById('answer').value")
        browser.close()
    assert not faults
    assert answer == expected(classifier, 4)
