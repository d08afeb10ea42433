"""report.html in a real Chromium, from the disk and with no network: it sorts, opens, fits, and asks for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.report import build
from scripts import browser as chromium
from tests.support import every_scenario

QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
WIDTHS = (1280, 400)

pytestmark = pytest.mark.program("chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a small campaign that has rows of every scenario."""
    folder = every_scenario.write(tmp_path_factory.mktemp("campaign") / "every-scenario", blocks=3)
    build(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield a Chromium: the system's, or the one that `make test` unpacks."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium.find(), args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture(params=WIDTHS)
def page(request: pytest.FixtureRequest, browser: Browser, report: Path) -> Iterator[Page]:
    """The report opened at one width; whatever it complains of or asks for fails the test in the end."""
    context = browser.new_context(viewport={"width": request.param, "height": 900}, offline=True)
    opened, complaints = context.new_page(), list[str]()
    opened.on("console", lambda message: complaints.append(f"console {message.type}: {message.text}"))
    opened.on("pageerror", lambda error: complaints.append(f"page error: {error}"))
    opened.on("request", lambda fetch: complaints.append(f"asked for {fetch.url}") if _leaves(fetch.url) else None)
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

    assert len(drawn) == 11
    assert all(drawn)


def test_a_table_sorts_by_click_and_by_key(page: Page) -> None:
    """A header sorts by number, says so to a screen reader, and turns around; one table leaves the others alone."""
    table = page.locator("table", has_text="embed RPS").first
    before = _column(page, 1)

    table.locator("th button").nth(1).click()
    clicked, order_by_click = _column(page, 1), table.locator("th").nth(1).get_attribute("aria-sort")
    page.keyboard.press("Enter")
    pressed, order_by_key = _column(page, 1), table.locator("th").nth(1).get_attribute("aria-sort")

    assert before != clicked
    assert clicked == sorted(before)
    assert pressed == clicked[::-1]
    assert (order_by_click, order_by_key) == ("ascending", "descending")
    assert page.locator("th[aria-sort]").count() == 1


def _column(page: Page, at: int) -> list[float]:
    """A column of the table of results, top down."""
    cells = (
        page.locator("table", has_text="embed RPS")
        .first.locator(f"tbody tr td:nth-child({at + 1})")
        .all_text_contents()
    )
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
    replay_text = page.locator(".replay").inner_text()

    assert replay_text.count(". ") + replay_text.endswith(".") == 3
    assert "594 requests a second" in replay_text
    assert "E_EMPTY" in replay_text
    assert "E_NOMODEL" in replay_text


def test_each_cell_says_how_to_measure_it_again(page: Page) -> None:
    """The words that `$RUN` takes are in the row, and what `$RUN` is at the end."""
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")

    assert page.get_by_text("--scenarios closed --gateways split --concurrency 16", exact=True).count() == 2
    assert 'RUN="python -m bench run --profile full"' in page.locator("pre").inner_text()
