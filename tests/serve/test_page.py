"""The page at /: nothing from other servers, security headers, and what a person does in a browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.page import Page
from tests.serve.conftest import SENTENCES, Client, series

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = '<img src=x onerror="document.title=1"> & <b>bold</b>'


def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    found = client.get("/")
    text = found.body.decode()
    page = Page(text)
    assert "html" in page.tags
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "action")]
    assert addresses == ["data:,"]
    assert not re.search(r"https?://", text)
    assert "@import" not in text
    assert "url(" not in text


def test_the_page_has_security_headers(client: Client) -> None:
    headers = client.get("/").headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    for name in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", policy[name])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert client.get("/models").headers["x-content-type-options"] == "nosniff"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium; skips the test if it is missing."""
    api = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("no chromium (apt install chromium)")
    with api.sync_playwright() as running:
        found = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser: Any, client: Client) -> Iterator[Any]:
    """The page on a phone; fails if the browser reports an error."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme="dark")
    found, errors = context.new_page(), []
    found.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(client.address)
    found.wait_for_selector("#ask[data-model]")
    yield found
    context.close()
    assert [line for line in errors if "status of 400" not in line] == []


def ask(page: Any, model: str, text: str, mode: str | None = None) -> str:
    page.select_option("#model", model)
    page.wait_for_selector(f"#ask[data-model='{model}']")
    if mode is not None:
        page.select_option("#mode", mode)
    page.fill("#text", text)
    page.click("#send")
    page.wait_for_selector("#ask[data-state=done], #ask[data-state=error]")
    assert page.inner_text("#status") == "Done"
    answer: str = page.inner_text("#answer")
    return answer


def test_a_text_is_classified_and_explained(page: Any, client: Client) -> None:
    for model in ("mixed", "reviews"):  # the latter has a card
        answer = ask(page, model, "a great film")
        record = client.post(
            f"/models/{model}/predict", {"inputs": "a great film"}, Accept="application/x-ndjson"
        ).json
        assert record["label"] in answer
        assert f"{100 * record['confidence']:.1f}%" in answer
        words = page.locator("#words span")
        assert [words.nth(at).inner_text() for at in range(3)] == ["a", "great", "film"]
        assert words.nth(1).get_attribute("class") in ("for", "against")
    page.click("summary >> text=Model card")
    card = page.inner_text("#card")
    assert "accuracy" in card.lower()
    assert page.locator("#card table").count() >= 1
    page.click("summary >> text=Figures")
    assert page.locator("#figures tr").count() > 5


def test_words_are_tagged_a_text_continued_a_series_forecast(page: Any) -> None:
    answer = ask(page, "tags", SENTENCES[0])
    assert page.locator(".tagged div").count() == 5
    assert all(word in answer for word in SENTENCES[0].split())
    continued = ask(page, "words", "the cat", "generate")
    assert continued.startswith("the cat ")
    assert page.locator(".bars > span").count() == 0
    ask(page, "words", "the cat", "next")
    assert page.locator(".bars .bar").count() >= 3
    ask(page, "words", "the cat", "tokens")
    assert page.locator(".bars .bar").count() == 3
    columns = series(30)
    rows = "\n".join(",".join(map(str, cells)) for cells in zip(*columns.values(), strict=True))
    assert "wave" in ask(page, "waves", ",".join(columns) + "\n" + rows)


def test_markup_in_a_text_is_shown_as_text(page: Any) -> None:
    ask(page, "mixed", HOSTILE)
    ask(page, "tags", HOSTILE)
    assert page.locator("#result img, #result b").count() == 0
    assert page.title() == "recurra"


def test_an_error_is_told_and_the_page_goes_on(page: Any, client: Client) -> None:
    page.select_option("#model", "waves")
    page.wait_for_selector("#ask[data-model=waves]")
    page.route("**/predict", lambda route: route.fulfill(status=400, body='{"error": "no rows"}'))
    page.fill("#text", "x")
    page.click("#send")
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status") == "no rows"
    page.unroute("**/predict")
    ask(page, "reviews", "a film")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_fits_the_screen_and_can_be_read(
    browser: Any, client: Client, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(client.address)
    page.wait_for_selector("#ask[data-model]")
    ask(page, "mixed", "a great film " + "a" * 200)
    page.click("summary >> text=Model card")
    page.click("summary >> text=Figures")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colors = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.querySelector('{}')))"
    text, back = page.evaluate(colors.format("body"))
    assert contrast(text, back) >= 7
    button = page.evaluate(colors.format("#send"))
    assert contrast(*button) >= 4.5
    assert page.locator("#send").bounding_box()["height"] >= 44
    context.close()


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""

    def light(color: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
        r, g, b = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
