"""The page in headless Chromium: every flow that a person has, errors in words, and axe's rules for access."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import png

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

import ganart_shapes  # noqa: E402
import ganart_tiny  # noqa: E402
import ganart_wishes  # noqa: E402

from ganart_zoo import Zoo  # noqa: E402
from ganart_zoo.service import Jobs  # noqa: E402
from ganart_zoo.service.http import Server, ServeSettings, create_app  # noqa: E402

SHIFTS = """
    window.shifts = 0;
    new PerformanceObserver((seen) => {
        for (const one of seen.getEntries()) if (!one.hadRecentInput) window.shifts += one.value;
    }).observe({ type: "layout-shift", buffered: true });
"""
"""Adds up how much of the page moved by itself."""

SMALL = """() => [...document.querySelectorAll("button, a, input, select, summary, label.button")].filter((one) => {
    const { width, height } = one.getBoundingClientRect();
    return width && height && !one.matches(".hidden-input, .skip") && (width < 24 || height < 24);
}).map((one) => one.outerHTML.slice(0, 80))"""
"""What is too small for a finger."""

FINE_PRINT = """() => [...document.querySelectorAll("body *")].filter((one) =>
    one.getClientRects().length && [...one.childNodes].some((each) => each.nodeType === 3 && each.data.trim()) &&
    parseFloat(getComputedStyle(one).fontSize) < 12).map((one) => one.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a thread."""
    folder = tmp_path_factory.mktemp("served")
    settings = ServeSettings(folder=folder, port=0, rate=100_000)
    with Jobs(Zoo(plugins=[ganart_tiny, ganart_shapes, ganart_wishes])) as jobs:
        server = Server(create_app(jobs, settings), settings)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.address
        server.stop()
        thread.join(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium, started once."""
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser, address: str) -> Iterator[Callable[..., object]]:
    """Return a function that opens the page; no error may appear in its console, and no request may leave it."""
    contexts, problems = [], []

    def start(**options: object):
        context = browser.new_context(viewport={"width": 1200, "height": 860}, **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(SHIFTS)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if foreign(request.url) else None)
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        return page

    def foreign(url: str) -> bool:
        return not url.startswith((address, "blob:", "data:"))

    yield start
    for context in contexts:
        context.close()
    assert not problems


def says(page, place: str, pattern: str) -> None:
    """Wait until an element's text matches; the page's policy forbids to evaluate strings there."""
    playwright.expect(page.locator(place)).to_have_text(re.compile(pattern), timeout=60_000)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    """The files of a photo and a painting."""
    for name, seed in (("photo.png", 1), ("painting.png", 2)):
        (tmp_path / name).write_bytes(png(120, 90, seed))
    return str(tmp_path / "photo.png"), str(tmp_path / "painting.png")


def test_a_photo_is_restyled_in_three_actions_and_compared(open_page, pictures, tmp_path: Path) -> None:
    page = open_page()
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#before:visible")
    page.set_input_files("#painting", pictures[1])
    page.wait_for_selector("#save:visible")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "saved.png")
    from ganart_zoo.imaging import read_record

    assert read_record(tmp_path / "saved.png").task == "stylize"
    page.locator("#compare").fill("40")
    assert "40%" in page.locator("#after").get_attribute("style")


def test_a_style_of_its_own_has_a_small_picture_and_one_press_uses_it(open_page, pictures) -> None:
    page = open_page()
    page.set_input_files("#photo", pictures[0])
    tile = page.locator("#styles button").first
    tile.locator("img").wait_for(state="visible")
    tile.click()
    page.wait_for_selector("#save:visible")
    assert tile.get_attribute("aria-pressed") == "true"


def test_a_drawing_stands_in_for_a_photo(open_page) -> None:
    page = open_page()
    page.click("#example")
    page.wait_for_selector("#before:visible")
    page.click("#tab-dream")
    page.select_option("#dream-model", "negative")
    page.click("#dream-go")
    page.wait_for_selector("#save:visible")


def test_a_prompt_is_painted_and_varied(open_page) -> None:
    page = open_page()
    page.click("#tab-imagine")
    page.click("#imagine-ask >> text=Settings")
    page.select_option("#imagine-model", "ganart-wishes/flat")
    page.fill("#prompt", "red")
    page.press("#prompt", "Enter")
    page.wait_for_selector("#save:visible")
    assert page.locator("#results button").count() == 4
    first = page.locator("#after").get_attribute("src")
    page.locator("#results button").nth(1).click()
    assert page.locator("#after").get_attribute("src") != first
    page.click("#vary")
    says(page, "#status", r"^Done")


def test_two_seeds_are_explored(open_page) -> None:
    page = open_page()
    page.click("#tab-explore")
    page.select_option("#interpolate-model", "bands")
    page.click("#explore-go")
    page.wait_for_selector("#scrub-row:visible")
    first = page.locator("#after").get_attribute("src")
    page.locator("#scrub").fill("8")
    assert page.locator("#after").get_attribute("src") != first


def test_errors_are_shown_in_words(open_page, tmp_path: Path) -> None:
    page = open_page()
    page.click("#restyle-go")
    assert page.inner_text("#error") == "Drop or choose a photo first."
    (tmp_path / "not.png").write_bytes(b"no picture")
    page.set_input_files("#photo", str(tmp_path / "not.png"))
    says(page, "#error", "not a picture")
    page.click("#example")
    page.wait_for_selector("#before:visible")
    page.click("#tab-dream")
    page.select_option("#dream-model", "broken")
    page.click("#dream-go")
    says(page, "#error", "broken")


def test_the_gallery_keeps_what_was_made_and_makes_it_again(open_page, pictures) -> None:
    page = open_page()
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#before:visible")
    page.set_input_files("#painting", pictures[1])
    page.wait_for_selector("#save:visible")
    page.click("#tab-gallery")
    cards = page.locator(".picture")
    cards.first.wait_for()
    before = cards.count()
    cards.first.locator("text=Make it again").click()
    says(page, "#status", r"^Done")
    page.click("#tab-gallery")
    playwright.expect(cards).to_have_count(before + 1, timeout=60_000)
    cards.first.locator("text=Delete").click()
    playwright.expect(cards).to_have_count(before, timeout=60_000)


def test_a_picture_made_elsewhere_tells_how_and_is_made_again(open_page, pictures, tmp_path: Path) -> None:
    page = open_page()
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#before:visible")
    page.set_input_files("#painting", pictures[1])
    page.wait_for_selector("#save:visible")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "made.png")
    other = open_page()
    other.set_input_files("#photo", str(tmp_path / "made.png"))
    other.wait_for_selector("#recorded[open]")
    assert "blend" in other.inner_text("#recorded-facts")
    other.click("#again")
    other.wait_for_selector("#save:visible")


def test_a_running_job_is_stopped(open_page, pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from ganart_zoo.contract import StepEvent

    def slow(self, content, styles, *, on_step=None, **_):
        for step in range(1, 2000):
            time.sleep(0.02)
            if on_step(StepEvent.of(step, 2000, picture=content)) is False:
                break
        return content

    monkeypatch.setattr("ganart_tiny.model.Negative.stylize", slow)
    page = open_page()
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#before:visible")
    page.click("#tab-dream")
    page.select_option("#dream-model", "negative")
    page.click("#dream-go")
    says(page, "#status", "of 2000")
    playwright.expect(page.locator("#after")).to_have_attribute("src", re.compile("^data:image/jpeg"), timeout=60_000)
    page.click("#stop")
    says(page, "#status", r"^Stopped")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, pictures, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#before:visible")
    for tab in ("restyle", "imagine", "dream", "explore", "gallery", "models"):
        page.click(f"#tab-{tab}")
        found = axe.Axe().run(page)
        assert not found.response["violations"], found.generate_report()


def test_tabs_are_used_by_keys_alone(open_page) -> None:
    page = open_page()
    page.focus("#tab-restyle")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-imagine").get_attribute("aria-selected") == "true"
    assert page.evaluate("document.activeElement.id") == "tab-imagine"


def test_a_phone_shows_it_without_scrolling_sideways(open_page) -> None:
    page = open_page()
    page.set_viewport_size({"width": 360, "height": 740})
    for tab in ("restyle", "imagine", "explore", "models"):
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, tab


def test_the_page_is_small(open_page, address: str) -> None:
    from urllib.request import urlopen

    total = 0
    for name in ("", "static/app.css", "static/main.js", "static/api.js", "static/forms.js", "static/stage.js"):
        with urlopen(address + name) as answer:
            total += len(answer.read())
    with urlopen(f"{address}api/v1/describe") as answer:
        total += len(answer.read())
    assert total <= 300_000


def test_the_page_names_every_control(open_page) -> None:
    page = open_page()
    html = page.content()
    assert re.search(r"<html lang=", html)
    assert page.locator("[role=tab]").count() == 6


def test_it_stays_in_place_and_suits_fingers_and_eyes(open_page, pictures) -> None:
    page = open_page()
    page.wait_for_timeout(300)
    assert page.evaluate("window.shifts") < 0.1
    viewport = page.locator("meta[name=viewport]").get_attribute("content")
    assert "width=device-width" in viewport
    assert "scalable" not in viewport
    assert "maximum" not in viewport
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(ids) == len(set(ids))
    assert page.locator("img:not([alt])").count() == 0
    page.set_viewport_size({"width": 360, "height": 740})
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#before:visible")
    for tab in ("restyle", "imagine", "dream", "explore", "gallery", "models"):
        page.click(f"#tab-{tab}")
        assert page.evaluate(SMALL) == []
        assert page.evaluate(FINE_PRINT) == []


def tab_to(page, target: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(80):
        if page.evaluate("(target) => document.activeElement.matches(target)", target):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached")


def test_keys_alone_lead_from_the_photo_to_the_saved_picture(open_page, pictures, tmp_path: Path) -> None:
    page = open_page()
    with page.expect_file_chooser() as chooser:  # which takes a moment to be set up
        tab_to(page, "#photo")
        page.keyboard.press("Space")
    chooser.value.set_files(pictures[0])
    page.wait_for_selector("#before:visible")
    tab_to(page, "#styles button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#save:visible")
    page.focus("#main")
    page.evaluate("document.activeElement.blur()")
    tab_to(page, "#save")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    download.value.save_as(tmp_path / "saved.png")
    assert (tmp_path / "saved.png").stat().st_size


def test_a_style_that_is_picked_first_waits_for_the_photo(open_page, pictures) -> None:
    page = open_page()
    page.locator("#styles button").first.click()
    says(page, "#error", "Now drop or choose a photo")
    page.set_input_files("#photo", pictures[0])
    page.wait_for_selector("#save:visible")


def test_two_browsers_see_each_its_own_work(open_page, pictures) -> None:
    one, two = open_page(), open_page()
    for page, tile in ((one, 0), (two, 1)):
        page.set_input_files("#photo", pictures[0])
        page.wait_for_selector("#before:visible")
        page.locator("#styles button").nth(tile % page.locator("#styles button").count()).click()
    for page in (one, two):
        page.wait_for_selector("#save:visible")
        says(page, "#status", r"^Done")
    files = {page.locator("#save").get_attribute("download") for page in (one, two)}
    assert len(files) == 2
