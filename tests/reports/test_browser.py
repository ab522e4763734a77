"""Reports in Chromium: what is shown, pressed and saved there, light and dark, on a phone and on a desk.

It is found by its name or at ``MIXLENS_CHROMIUM``. Where it is missing the tests are skipped, and with
``MIXLENS_NO_SKIP`` set they fail.
"""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixlens.analysis.store.record import TaskRecord
from mixlens.analysis.store.results import table, write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run
from mixlens.reports.report import write_report

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>"
LONG = "own:" + "x" * 120 + f"{MARKUP}/" + "y" * 120  # folders are named after it: a slash at least every 255 letters
pytestmark = pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # such names leave figures no room
every_page = pytest.mark.parametrize("name", ["made", "hostile"])


@pytest.fixture(scope="module")
def browser():
    absent = pytest.fail if os.environ.get("MIXLENS_NO_SKIP") else pytest.skip
    path = os.environ.get("MIXLENS_CHROMIUM") or shutil.which("chromium")
    if not path or not Path(path).is_file():
        absent(f"no Chromium at {path}: apt-get install chromium, or give another path as MIXLENS_CHROMIUM.")
    try:
        import axe_playwright_python  # noqa: F401
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        absent(f"{error}: pip install -e '.[dev]'.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])  # root cannot have one
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page, which may say, ask and fetch nothing until the test is over."""
    contexts, said = [], []

    def only(address, route):
        if route.request.url.partition("#")[0] == address:
            return route.continue_()
        said.append(f"fetches {route.request.url}")
        return route.abort()

    def run(path, scheme="light", width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options)
        contexts.append(context)
        context.route("**/*", lambda route: only(path.as_uri(), route))
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"raises {error}"))
        page.on("dialog", lambda dialog: (said.append(f"asks {dialog.message}"), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    yield run
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture(scope="module")
def records(tmp_path_factory, make_record, with_information):
    """A study with every table and figure of the VAE, masks, verdicts and a failure; one whose words are markup."""

    def make(name, own, reason):
        pairs = {("baseline", "self"): [70.0, 71.0, 72.0], ("baseline", "independent"): [70.5, 71.5, 72.5]}
        pairs[own, "independent"] = [60.5, 60.52, 60.55]  # of other digits than the baselines
        record = with_information(make_record(tmp_path_factory.mktemp("study"), pairs, name))
        gallery = Run(record.runs / "gallery")
        gallery.path.mkdir()
        gallery.write_json(ENVIRONMENT, {"torch": "2.0"})
        write_rows(gallery, [], 1.0)
        same = np.full((2, 8, 8, 3), 99, np.uint8)
        spectra = {f"spectrum:{variant}": np.ones((8, 8)) for variant in ("paper", "official")}
        gallery.write_arrays(
            {"images": same, "partners": same, "mask:fmix": same[..., 0] / 255, "mixed:fmix": same} | spectra
        )
        drawn = TaskRecord("gallery", "gallery", "gallery", "draw the masks", (), "done")
        failed = TaskRecord("x", "vae-train", "vae", name, (), "failed", reason)
        settings = record.settings | {"augmentations": ["baseline", own]}
        return replace(record, command=f"mixlens {own}", settings=settings, tasks=(*record.tasks, drawn, failed))

    return {"made": make("a study", "mixup", "the loss became nan"), "hostile": make(f"{MARKUP}\r\n,\"'", LONG, LONG)}


@pytest.fixture(scope="module")
def pages(records):
    return {name: write_report(record, record.folder / "report.html") for name, record in records.items()}


@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [
        ("made", 360, "light"),
        ("made", 1280, "dark"),
        ("hostile", 360, "dark"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("made", 360, "dark"), ("made", 1280, "light"))),
        pytest.param("hostile", 1280, "light", marks=pytest.mark.slow),
    ],
)
def test_it_fits_the_window_and_everyone_can_read_it(visit, pages, name, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(pages[name], scheme, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1, h2, h3").count() == page.locator(":is(h1, h2, h3):visible").count() > 10
    found = Axe().run(page, {"exclude": ["figure svg"]})  # thousands of paths; their text comes next
    assert not found.response["violations"], found.generate_report()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    inks = set(page.eval_on_selector_all("svg text", "all => all.map(one => getComputedStyle(one).fill)"))
    assert {ink for ink in inks if contrast(ink, background) < 4.5} == set()


@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.slow)])
@every_page
def test_nothing_but_what_scrolls_by_itself_reaches_beyond_the_window(visit, pages, name, width):
    beyond = """width => [...document.querySelectorAll("body *:not(svg *)")].filter(one =>
        !one.closest(".scroll > *, pre > *") && one.getBoundingClientRect().right > width + 0.5)
        .map(one => one.outerHTML)"""
    assert visit(pages[name], width=width).evaluate(beyond, width) == []


@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.slow)])
@every_page
def test_no_flag_and_no_value_is_broken(visit, pages, name, width):
    page = visit(pages[name], width=width)
    broken = """all => all.filter(one => { const range = document.createRange(); range.selectNodeContents(one);
        return new Set([...range.getClientRects()].map(box => Math.round(box.bottom))).size > 1 })
        .map(one => one.textContent)"""
    assert page.locator(".whole").count() > 5
    assert page.eval_on_selector_all(".whole", broken) == []
    lines = """all => all.flatMap(one => [...one.childNodes].filter(part => part.nodeType === 3 && part.length))
        .filter(part => { const range = document.createRange(); range.selectNode(part);
        return range.getClientRects().length > 1 }).map(part => part.textContent)"""
    assert page.eval_on_selector_all("td.n", lines) == []


def test_decimal_points_stand_below_each_other(visit, pages):
    points = """table => [...table.tBodies[0].rows].map(row => [...row.cells].slice(1).map(cell => {
        const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT), text = walk.nextNode();
        const point = text ? text.textContent.search(/[.]/) : -1;
        if (point < 0) return null;
        const range = document.createRange(); range.setStart(text, point); range.setEnd(text, point + 1);
        return range.getBoundingClientRect().left }))"""
    table = visit(pages["made"]).locator("table.sortable").first
    by_column = [[x for x in column if x is not None] for column in zip(*table.evaluate(points), strict=True)]
    several = [column for column in by_column if len(column) > 2]
    assert len(several) > 2
    assert all(max(column) - min(column) < 0.6 for column in several), several


def test_the_answer_is_on_the_first_screen_and_the_contents_after_it(visit, pages):
    page = visit(pages["made"])
    tops = [
        page.locator(what).first.bounding_box() for what in ("h1", ".facts", ".answers", "#summary-forest svg", "nav")
    ]
    assert [box["y"] for box in tops] == sorted(box["y"] for box in tops)
    assert tops[3]["y"] + tops[3]["height"] <= 800


def test_a_wide_box_says_that_it_scrolls_until_it_has(visit, pages):
    page = visit(pages["made"], width=360)
    wide, opacity = page.locator(".scroll:has(.sortable)").first, "one => getComputedStyle(one, '::before').opacity"
    said = "one => getComputedStyle(one, '::before').content"
    assert "scroll" in wide.evaluate(said)
    assert wide.evaluate(opacity) == "1"
    name = wide.locator("tbody th").first
    before = name.bounding_box()["x"]
    wide.evaluate("one => one.scrollLeft = one.scrollWidth")
    page.wait_for_function("one => getComputedStyle(one, '::before').opacity === '0'", arg=wide.element_handle())
    assert name.bounding_box()["x"] == before, "the first column stays"
    assert name.bounding_box()["width"] < 200
    fits = visit(pages["made"]).locator(".scroll:has(.sortable)").first
    assert fits.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert fits.evaluate("one => getComputedStyle(one, '::before').maxHeight") == "0px", (
        "and says nothing where all is seen"
    )


def test_every_table_and_figure_leads_to_its_command(visit, pages):
    page = visit(pages["made"])
    targets = page.eval_on_selector_all("figure, .caption", "all => all.map(one => one.querySelector('a.again')?.hash)")
    assert targets.count(None) == 3, "but the tables on what was run"
    for target in set(targets) - {None}:
        command = page.locator(f"{target} ~ pre.command").first
        assert command.is_visible()
        assert command.inner_text().startswith("mixlens ")
        assert command.evaluate("one => getComputedStyle(one.firstChild).userSelect") == "all", "one press selects it"


def contrast(*colours):
    """WCAG 2's contrast ratio of two colours ``rgb(r, g, b)``, from their relative luminance."""
    rgb = np.array([re.findall(r"\d+", colour)[:3] for colour in colours], float) / 255
    low, high = sorted(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])
    return (high + 0.05) / (low + 0.05)


@every_page
def test_links_stay_in_the_page_and_reach_every_section(visit, pages, name):
    page = visit(pages[name])
    ids = page.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    links = page.eval_on_selector_all("a", "all => all.map(one => one.getAttribute('href'))")
    assert set(links) <= {f"#{one}" for one in ids}
    sections = page.eval_on_selector_all("main > section", "all => all.map(one => one.id)")
    nav = page.eval_on_selector_all("nav a", "all => all.map(one => one.getAttribute('href'))")
    assert nav == [f"#{section}" for section in sections]
    for section in sections:
        page.locator(f"nav a[href='#{section}']").click()
        assert page.locator(f"#{section} h2").bounding_box()["y"] < 800


@every_page
def test_figures_are_named_and_their_text_is_text(visit, pages, name):
    figures = visit(pages[name]).eval_on_selector_all(
        "figure svg",
        """all => all.map(one => { const words = [...one.querySelectorAll(":scope > title, :scope > desc")];
        return { role: one.getAttribute("role"), words: words.filter(part => part.textContent).length,
        named: one.getAttribute("aria-labelledby") === words.map(part => part.id).join(" "),
        text: one.querySelector("text") !== null } })""",
    )
    assert len(figures) >= 7
    assert all(figure == {"role": "img", "words": 2, "named": True, "text": True} for figure in figures), figures


UP = ["−3.00 [−4, −2] ↓", "−8e−16", "+0.5", "9", "10 (cannot tell)", "1,000 †", "∞ (100% of images)"]
NUMBERS = ["9", "—", *UP[4:], "no fit", *UP[:3]], [*UP, "—", "no fit"], [*UP[::-1], "—", "no fit"]
WORDS = ["stem", "—", "layer 2", "Baseline"], ["—", "Baseline", "layer 2", "stem"], ["stem", "layer 2", "Baseline", "—"]


@pytest.mark.parametrize(("cells", "up", "down"), [NUMBERS, WORDS], ids=["numbers", "words"])
def test_a_heading_sorts_its_table_up_and_down(visit, pages, cells, up, down):
    page = visit(pages["made"])
    table = page.locator("table.sortable").first
    lines = "".join(f"<tr><td>x<td>{cell}" for cell in cells)
    table.evaluate("(table, lines) => table.tBodies[0].innerHTML = lines", lines)
    first, heading = table.get_by_role("columnheader").all()[:2]
    for key, expected, direction in (("", up, "ascending"), ("Enter", down, "descending"), ("Space", up, "ascending")):
        if key:
            first.get_by_role("button").focus()
            page.keyboard.press("Tab")
            page.keyboard.press(key)
        else:
            heading.get_by_role("button").click()
        assert table.locator("td:nth-child(2)").all_text_contents() == expected
        assert heading.get_attribute("aria-sort") == direction
    first.get_by_role("button").click()
    assert page.locator("[aria-sort]").count() == 1


@pytest.mark.parametrize("name", ["made", "hostile"])
def test_the_saved_files_hold_the_rows(visit, pages, records, name):
    page, saved = visit(pages[name]), {}
    for kind in ("csv", "json"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"save as {kind}").click()
        assert download.value.suggested_filename == f"rows.{kind}"
        saved[kind] = Path(download.value.path())
    rows = table(records[name].rows())
    expected = rows.astype(object).where(rows.notna(), None).to_dict("records")
    assert json.loads(saved["json"].read_bytes()) == expected
    theirs, ours = (pd.read_csv(path) for path in (saved["csv"], pages[name].parent / "rows.csv"))
    pd.testing.assert_frame_equal(theirs, ours, check_dtype=False)


def test_the_keyboard_reaches_and_shows_everything(visit, pages):
    page = visit(pages["made"], width=360)
    for _ in range(
        count := page.locator("a, button:not([hidden]), [tabindex='0'], .scroll, pre:not(.command)").count()
    ):
        page.keyboard.press("Tab")
        seen = """() => { const one = document.activeElement, style = getComputedStyle(one); one.dataset.reached = "";
            return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1 || one.outerHTML }"""
        assert page.evaluate(seen) is True
    assert page.locator("[data-reached]").count() == count
    page.locator(".scroll:has(.sortable)").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")


@pytest.mark.slow
def test_without_javascript_only_the_buttons_are_gone(visit, pages):
    page = visit(pages["made"], java_script_enabled=False)
    assert page.get_by_role("button").count() == 0
    assert page.locator("svg, table").count() == page.locator(":is(svg, table):visible").count() > 10
