"""report.html in a real Chromium, from the disk and with no network: it sorts, opens, fits, and asks for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.report import build
from tests.browser import rows

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small campaign that has rows of every scenario."""
    folder = rows.write(tmp_path_factory.mktemp("campaign") / "every-scenario", blocks=3)
    build(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it; without one the tests fail and say what to install."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.fail(f"none of {', '.join(CHROMIUM)} is on the PATH: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The report opened at one width; whatever it complains of or asks for fails the test in the end."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, offline=True)
    opened, complaints = context.new_page(), list[str]()
    opened.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
    opened.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
    opened.on("request", lambda asked: complaints.append(f"asked for {asked.url}") if _leaves(asked.url) else None)
    opened.goto(report.as_uri())
    yield opened
    context.close()
    assert complaints == []


def _leaves(url: str) -> bool:
    return not url.startswith(("file:", "data:"))


def test_nothing_but_tables_and_plots_scrolls_sideways(page: Page) -> None:
    """With every fold open the page is no wider than its window, on a desk and in a hand."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")

    width = page.evaluate("document.documentElement.scrollWidth")

    assert page.viewport_size is not None
    assert width <= page.viewport_size["width"]


def test_every_plot_is_drawn(page: Page) -> None:
    """The inline images are there and decoded; each says in words what it shows."""
    images = page.locator("figure img")

    drawn = images.evaluate_all(
        "all => all.map(one => one.complete && one.naturalWidth > 300 && one.alt.length > 20)"
    )

    assert len(drawn) == 12
    assert all(drawn)


def test_a_table_sorts_by_click_and_by_key(page: Page) -> None:
    """A header sorts by number, says so to a screen reader, and turns around; one table leaves the others alone."""
    table = page.locator("table").first
    before = _column(page, 1)

    table.locator("th button").nth(1).click()
    clicked, said = _column(page, 1), table.locator("th").nth(1).get_attribute("aria-sort")
    page.keyboard.press("Enter")
    pressed, said_then = _column(page, 1), table.locator("th").nth(1).get_attribute("aria-sort")

    assert before != clicked
    assert clicked == sorted(before)
    assert pressed == clicked[::-1]
    assert (said, said_then) == ("ascending", "descending")
    assert page.locator("th[aria-sort]").count() == 1


def _column(page: Page, at: int) -> list[float]:
    """A column of the first table, top down."""
    cells = page.locator("table").first.locator(f"tbody tr td:nth-child({at + 1})").all_text_contents()
    return [float(cell.replace(",", "")) for cell in cells]


def test_the_ledger_opens_and_shows_one_code_where_asked(page: Page) -> None:
    """Its summary counts what was refused; inside are the rows with their codes, all or those with one code."""
    ledger = page.locator(".ledger details")
    assert not ledger.locator("table").is_visible()

    ledger.locator("summary").click()
    codes = ledger.locator("tbody tr:visible").all_text_contents()
    ledger.locator("select").select_option("E_NOMODEL")
    chosen = ledger.locator("tbody tr:visible").all_text_contents()

    assert "2 refused rows" in ledger.locator("summary").inner_text()
    assert any("E_EMPTY E_NOMODEL" in line for line in codes)
    assert any("E_ENV" in line for line in codes)
    assert len(chosen) == 1
    assert "study-as-published" in chosen[0]


def test_the_replay_is_told_in_three_sentences(page: Page) -> None:
    """What the study asked, what comes out here, and both codes it is refused with."""
    said = page.locator(".replay").inner_text()

    assert said.count(". ") + said.endswith(".") == 3
    assert "594 requests a second" in said
    assert "E_EMPTY" in said
    assert "E_NOMODEL" in said


def test_each_cell_says_how_to_measure_it_again(page: Page) -> None:
    """The words that `$RUN` takes are in the row, and what `$RUN` is at the end."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")

    assert page.get_by_text("--scenarios closed --gateways split --concurrency 16", exact=True).count() == 2
    assert 'RUN="python -m bench run --profile full"' in page.locator("pre").inner_text()
