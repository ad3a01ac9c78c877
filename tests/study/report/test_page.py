"""The page in Chromium: no errors or dead anchors, sorting by mouse and key, nothing too wide."""

import json
import statistics
from itertools import pairwise

import pytest

from study.grids import Narrowing
from study.paper.claims import CLAIMS
from study.report.folder import write_report
from tests.study.report.browser import CHROMIUM, Browser
from tests.study.runs import fake_run

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs chromium (apt-get install chromium)"
)

COLUMN = (
    "[...document.querySelectorAll('#table-%s tbody tr')]"
    ".map(row => row.cells[%d].textContent.trim())"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        fake_run(folder / "paper", "as-written", lost={3: "failed", 5: "diverged"}),
        fake_run(folder / "autopsy", "autopsy", seeds=2),
    ]
    return write_report(runs, folder / "report")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The page of two cohorts."""
    folder = tmp_path_factory.mktemp("compared")
    small = Narrowing(seeds=3, depths=("2", "4"), noise=(0.1, 0.5), betas=(0.0,))
    runs = [
        fake_run(folder / name, narrowing=small, data=name * 64, simulated=name == "a")
        for name in "ab"
    ]
    return write_report(runs, folder / "report")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_error_nothing_fetched_and_no_sideways_scrolling(browser, path, width, scheme):
    browser.open(path, width, scheme=scheme)
    assert browser.errors == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {path.as_uri()}
    assert browser.run("innerWidth") == width
    browser.run("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= width
    wide = (
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, pre, .skip') && "
        "e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert browser.run(wide) == []


def test_a_script_that_came_with_the_data_would_not_run(browser, path):
    browser.open(path)
    browser.run(
        "document.body.append("
        "Object.assign(document.createElement('script'), {text: 'window.foreign = 1'}))"
    )
    assert browser.run("typeof foreign") == "undefined"


def test_every_anchor_resolves_and_every_id_is_there_once(browser, path):
    browser.open(path)
    dead = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash)"
        ".filter(h => !document.querySelector(h))"
    )
    assert browser.run(dead) == []
    assert browser.run("document.querySelectorAll('nav a').length") > 9
    assert (
        browser.run(
            "(ids => ids.length - new Set(ids).size)"
            "([...document.querySelectorAll('[id]')].map(e => e.id))"
        )
        == 0
    )
    named = browser.run(
        "[...document.querySelectorAll('[aria-labelledby]')]"
        ".map(e => e.getAttribute('aria-labelledby'))"
    )
    assert named
    assert browser.run(f"{named}.filter(id => !document.getElementById(id))") == []


def test_headings_leave_no_level_out(browser, path):
    browser.open(path)
    levels = browser.run(
        "[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("width", [1280, 390])
def test_figures_are_large_enough_to_read(browser, path, width):
    """Letters have at least 9 pixels: 13 at 640 pixels, 11 in the drawing for telephones."""
    browser.open(path, width)
    shares = browser.run(
        "[...document.images].map(image => image.getBoundingClientRect().width / "
        "(image.currentSrc === image.src ? 640 : 350))"
    )
    assert min(shares) >= 0.85


@pytest.mark.parametrize("width", [1280, 390])
def test_no_table_or_figure_is_cut(browser, path, width):
    browser.open(path, width)
    browser.run("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    cut = (
        "[...document.querySelectorAll('.scroll, .plot')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)"
    )
    assert browser.run(cut) == []


def test_pointing_at_a_point_gives_its_numbers(browser, path):
    browser.open(path)
    plot = "document.querySelector('#figure-fig-7 .plot')"
    browser.run(f"{plot}.scrollIntoView()")
    browser.run(
        f"(box => {plot}.dispatchEvent(new PointerEvent('pointermove', {{"
        f"clientX: box.left + JSON.parse({plot}.dataset.wide)[2][0] / 100 * box.width, "
        f"clientY: box.top + JSON.parse({plot}.dataset.wide)[2][1] / 100 * box.height}})))"
        f"({plot}.getBoundingClientRect())"
    )
    tip = f"{plot}.querySelector('output')"
    assert browser.run(f"{tip}.textContent") == "published: noise factor α 0.2, MSE (eq. 11) 0.9773"
    assert browser.run(f"{tip}.getBoundingClientRect().right <= innerWidth")
    browser.run(f"{plot}.dispatchEvent(new PointerEvent('pointerleave'))")
    assert browser.run(f"{tip}.hidden")


def test_arrow_keys_go_through_the_points_of_a_figure(browser, path):
    browser.open(path)
    plot = "document.querySelector('#figure-fig-7 .plot')"
    browser.run(f"{plot}.focus()")
    for _ in range(3):
        browser.press("ArrowRight")
    browser.press("ArrowLeft")
    text = browser.run(f"{plot}.querySelector('output').textContent")
    assert text.startswith("published: noise factor α 0.1, MSE")


def test_every_image_has_its_size_and_words(browser, path):
    browser.open(path)
    images = browser.run(
        "[...document.images].map(i => [i.getAttribute('width') / i.getAttribute('height'), "
        "i.naturalWidth / i.naturalHeight, i.alt.length, i.complete])"
    )
    assert len(images) > 10
    for stated, natural, words, complete in images:
        assert complete
        assert stated == pytest.approx(natural, rel=0.01)
        assert words > 20


def test_tables_have_captions_and_scopes(browser, path):
    browser.open(path)
    assert browser.run("document.querySelectorAll('table').length") > 15
    assert (
        browser.run(
            "[...document.querySelectorAll('table')]"
            ".filter(t => !t.caption?.textContent.trim()).length"
        )
        == 0
    )
    assert browser.run("document.querySelectorAll('th:not([scope])').length") == 0
    several = (
        "[...document.querySelectorAll('.sheet table')].filter(t => t.tBodies[0].rows.length > 1)"
    )
    headers = browser.run(
        f"{several}.flatMap(t => [...t.tHead.rows[0].cells]).map(h => h.children.length)"
    )
    assert set(headers) == {1}  # a button


def test_sorting_by_mouse(browser, path):
    browser.open(path)
    column = COLUMN % ("division-by-n", 4)  # 292, 584, ... as numbers, and 2,921 of Fig. 4
    button = "document.querySelectorAll('#table-division-by-n thead button')[4]"
    state = f"{button}.parentElement.getAttribute('aria-sort')"
    assert browser.run(state) is None
    browser.run(f"{button}.click()")
    rising = [int(text.replace(",", "")) for text in browser.run(column)]
    assert rising == sorted(rising)
    assert rising[0] == 292
    assert browser.run(state) == "ascending"
    browser.run(f"{button}.click()")
    assert [int(text.replace(",", "")) for text in browser.run(column)] == rising[::-1]
    assert browser.run(state) == "descending"
    curve = COLUMN % ("division-by-n", 6)  # Fig. 10 has no curve beside it: last either way
    other = "document.querySelectorAll('#table-division-by-n thead button')[6]"
    for _ in range(2):
        browser.run(f"{other}.click()")
        assert browser.run(curve)[-10:] == ["–"] * 10
    assert browser.run(state) is None


def test_sorting_and_folding_by_key(browser, path):
    browser.open(path)
    browser.run("document.querySelector('#table-outcomes thead button').focus()")
    before = browser.run(COLUMN % ("outcomes", 0))
    browser.press("Enter", text="\r")
    browser.press("Enter", text="\r")
    assert browser.run(COLUMN % ("outcomes", 0)) == before[::-1]
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "as its scripts ran"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.run("document.querySelector('#c3 summary').focus()")
    browser.press("Enter", text="\r")
    assert browser.run("document.querySelector('#c3').open")


def test_the_first_tab_skips_to_the_content(browser, path):
    browser.open(path)
    browser.press("Tab")
    assert browser.run("document.activeElement.hash") == "#content"
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.press("Enter", text="\r")
    assert browser.run("document.activeElement.id") == "content"


def test_a_link_to_a_claim_opens_it(browser, path):
    browser.open(path)
    assert not browser.run("document.querySelector('#c1').open")
    browser.run("document.querySelector('#table-outcomes tbody a').click()")
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.run("location.hash") == "#c1"
    assert browser.run("document.querySelector('#c1').open")


def test_print_opens_what_is_folded_and_leaves_out_the_contents(browser, path):
    browser.open(path, media="print")
    assert browser.run("document.querySelector('nav').offsetHeight") == 0
    assert browser.run(
        "document.querySelector('#c1 > div').checkVisibility({contentVisibilityAuto: true})"
    )
    assert browser.run("document.querySelector('#c1').offsetHeight") > 150
    browser.open(path, width=718, media="print")  # A4 less its margins
    assert browser.run("document.documentElement.scrollWidth") <= 718
    browser.open(path)
    assert browser.run("document.querySelector('#c1').offsetHeight") < 150


def test_the_page_reads_without_its_script(browser, path):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path)
        document = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        rows = browser.call(
            "DOM.querySelectorAll", nodeId=document, selector="#table-outcomes tbody tr"
        )["nodeIds"]
        assert len(rows) == len(CLAIMS) - 1  # C10 was not measured
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_it_opens_at_once(browser, path):
    browser.open(path)
    assert (
        browser.run("performance.timing.loadEventEnd - performance.timing.navigationStart") < 3000
    )


NETWORKS = "document.querySelector('.networks')"


def rows_of_networks(browser):
    """The table of the networks that are chosen: {groups: the other cells}, and what counts it."""
    cells = browser.run(
        f"[...{NETWORKS}.querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    )
    return cells, browser.run(f"{NETWORKS}.querySelector('[aria-live] p').textContent")


def choose(browser, label, option):
    """Take an option of the choice whose label begins so."""
    browser.run(
        f"{{ const label = [...{NETWORKS}.querySelectorAll('.choices label')]"
        f".find(l => l.textContent.startsWith('{label} ')), select = label.querySelector('select');"
        f"select.value = [...select.options].find(o => o.text === '{option}').value;"
        "select.dispatchEvent(new Event('change')) }"
    )


def tick(browser, key):
    browser.run(f"{NETWORKS}.querySelector('[aria-label=\"group by {key}\"]').click()")


def test_all_networks_are_filtered_and_grouped(browser, path):
    browser.open(path)
    browser.run(f"{NETWORKS}.closest('details')?.setAttribute('open', '')")
    browser.run("new Promise(done => setTimeout(done, 50))")
    every = json.loads(browser.run(f"{NETWORKS}.dataset.networks"))
    keys, values, rows = every["keys"], every["values"], every["rows"]
    measure = len(keys) + every["measures"].index("MSE, noisy test rows")

    def found(**where):
        at = {keys.index(name): values[name].index(value) for name, value in where.items()}
        kept = [row for row in rows if all(row[i] == value for i, value in at.items())]
        return [row[measure] for row in kept]

    choose(browser, "model", "dense-4")
    choose(browser, "protocol", "as-written")
    choose(browser, "noise", "0.5")
    cells, words = rows_of_networks(browser)
    mse = found(model="dense-4", protocol="as-written", noise=0.5)
    assert len(mse) > 3
    [[*groups, n, mean, sd]] = cells
    assert groups == ["dense-4", "as-written", "0.5"]
    assert (int(n), float(mean), float(sd)) == (
        len(mse),
        pytest.approx(statistics.mean(mse), abs=1e-4),
        pytest.approx(statistics.stdev(mse), abs=1e-4),
    )
    assert words == f"{len(mse)} of {len(rows)} rows in 1 groups."

    tick(browser, "seed")
    cells, words = rows_of_networks(browser)
    by_seed = [found(model="dense-4", protocol="as-written", noise=0.5, seed=s) for s in (0, 1, 2)]
    assert [row[3] for row in cells] == ["0", "1", "2"]
    assert [float(row[5]) for row in cells] == pytest.approx(
        [statistics.mean(its) for its in by_seed], abs=1e-4
    )
    assert words == f"{len(mse)} of {len(rows)} rows in 3 groups."

    choose(browser, "model", "all")
    for key in ("model", "protocol", "noise", "seed"):
        tick(browser, key)
    cells, words = rows_of_networks(browser)
    every_mse = found(protocol="as-written", noise=0.5)
    assert [cells[0][0], float(cells[0][1])] == [
        str(len(every_mse)),
        pytest.approx(statistics.mean(every_mse), abs=1e-4),
    ]
    assert words == f"{len(every_mse)} of {len(rows)} rows in 1 groups."


def test_the_curves_of_all_networks_give_their_numbers(browser, path):
    browser.open(path)
    browser.run(f"{NETWORKS}.closest('details')?.setAttribute('open', '')")
    browser.run("new Promise(done => setTimeout(done, 50))")
    choose(browser, "model", "dense-2")
    choose(browser, "protocol", "as-written")
    cells, _ = rows_of_networks(browser)
    titles = browser.run(
        f"[...{NETWORKS}.querySelectorAll('circle title')].map(t => t.textContent)"
    )
    assert len(titles) == len(cells)
    for (model, protocol, noise, n, mean, _), title in zip(cells, titles, strict=True):
        assert title.startswith(f"{model}, {protocol}: noise {noise}, ")
        assert title.endswith(f" ({n})")
        assert float(title.split(", ")[-1].split()[0]) == pytest.approx(float(mean), rel=1e-3)


# Several cohorts


@pytest.mark.parametrize("width", [1280, 390])
def test_a_page_of_cohorts_is_not_cut_and_has_no_error(browser, compared, width):
    browser.open(compared, width)
    browser.run("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert browser.errors == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    cut = (
        "[...document.querySelectorAll('.scroll, .plot')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)"
    )
    assert browser.run(cut) == []
    dead = (
        "[...document.querySelectorAll('a[href^=\"#\"]')].map(a => a.hash)"
        ".filter(h => !document.querySelector(h))"
    )
    assert browser.run(dead) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_verdict_stands_below_its_name_on_a_telephone_and_beside_others_on_a_screen(
    browser, compared, width
):
    browser.open(compared, width)
    lines = browser.run(
        "[...document.querySelectorAll('#table-outcomes td:has(svg)')].map(cell => {"
        "const name = getComputedStyle(cell, '::before'), verdict = cell.children[0];"
        "return [name.content, parseFloat(name.height) / parseFloat(name.lineHeight),"
        "verdict.getBoundingClientRect().width] })"
    )
    assert len(lines) > 3
    for name, height, verdict in lines:
        if width == 390:
            assert name.startswith('"as its text says, ')
            assert height < 1.5
            assert verdict > 200
        else:
            assert name == "none"


def test_pointing_at_a_panel_of_a_cohort_gives_its_numbers(browser, compared):
    for name in ("simulated", "expression"):
        browser.open(compared)
        plot = f"document.querySelector('#figure-fig-7-{name} .plot')"
        points = f"JSON.parse({plot}.dataset.wide)"
        browser.run(f"{plot}.scrollIntoView()")
        at = browser.run(f"{points}.findIndex(p => p[2].startsWith('as-written'))")
        browser.run(
            f"(box => {plot}.dispatchEvent(new PointerEvent('pointermove', {{"
            f"clientX: box.left + {points}[{at}][0] / 100 * box.width, "
            f"clientY: box.top + {points}[{at}][1] / 100 * box.height}})))"
            f"({plot}.getBoundingClientRect())"
        )
        text = browser.run(f"{plot}.querySelector('output').textContent")
        assert text == browser.run(f"{points}[{at}][2]")
        assert text.startswith("as-written: noise factor α 0.")
        others = "[...document.querySelectorAll('.plot output')].filter(o => !o.hidden).length"
        assert browser.run(others) == 1


def test_networks_of_cohorts_are_filtered_and_grouped_by_cohort(browser, compared):
    browser.open(compared)
    browser.run(f"{NETWORKS}.closest('details')?.setAttribute('open', '')")
    browser.run("new Promise(done => setTimeout(done, 50))")
    choose(browser, "model", "dense-2")
    cells, words = rows_of_networks(browser)
    assert [row[:4] for row in cells] == [
        [data, "dense-2", "as-written", noise]
        for data in ("<expression>", "simulated")
        for noise in ("0.1", "0.5")
    ]
    assert {row[4] for row in cells} == {"3"}
    choose(browser, "data", "simulated")
    kept, words = rows_of_networks(browser)
    assert kept == cells[2:]
    assert words.startswith("6 of ")
