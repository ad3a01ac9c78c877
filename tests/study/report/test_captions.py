"""Words of figures and tables on the page of every kind of run: captions, notes and cells."""

import re

import pytest

from study.evidence.evidence import load_cohorts
from study.grids import GRIDS, Narrowing
from study.paper.claims import judge_claims
from study.report.document import Exhibit, Panels
from study.report.exports import cells, html, markdown, save
from study.report.page import build
from tests.study.report.questions.test_bottleneck import search_run
from tests.study.report.test_inside_exhibits import tables
from tests.study.runs import effect_as_written, fake_run

MOST_WORDS = 12
#: The end of a sentence, but not of an abbreviation.
END = re.compile(r"(?<!\bFig)(?<!\bFigs)(?<!\beq)(?<!\bal)[.!?](?= |$)")


def page_of(*folders):
    """The report of run folders, not drawn."""
    return build({cohort: judge_claims(cohort) for cohort in load_cohorts(folders)})


def made(folder, grid, seeds=3, **how):
    """A small run with the tables of the networks' insides."""
    narrowing = Narrowing(seeds=seeds, noise=(0.0, 0.5, 1.0), depths=("2", "conv"))
    folder = fake_run(folder, grid, narrowing=narrowing, **how)
    for name, table in tables().items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of each grid, a search, a run whose networks were lost, and several cohorts."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {grid: made(folder / grid, grid) for grid in ("all", "quick", "autopsy")}
    runs["best"] = fake_run(folder / "best", "best")
    lost = dict.fromkeys(range(4), "failed")
    runs["real"] = made(folder / "real", "all", 2, simulated=False, data="b" * 64, lost=lost)
    pages = {name: page_of(run) for name, run in runs.items()}
    pages["search"] = page_of(search_run(folder / "search"))
    pages["several"] = page_of(runs["all"], runs["real"])
    return pages


def exhibits(page):
    return [block for block in page.blocks() if isinstance(block, Exhibit)]


def test_the_pages_have_what_every_grid_feeds(pages):
    """So that the tests below see every kind of figure and table."""
    keys = {its.key for page in pages.values() for its in exhibits(page)}
    questions = {"cross-noise", "mixed-noise", "sparsity-mse", "fresh-noise", "gene-order"}
    others = {"samples", "code-size", "code-genes", "other-noise", "lost", "learning-as-written"}
    assert questions | others < keys
    assert len(keys) > 80
    assert set(GRIDS) > {"all", "quick", "autopsy", "best"}


def test_every_caption_is_one_sentence_and_the_same_for_any_data(pages):
    captions = {}
    for page in pages.values():
        for its in exhibits(page):
            assert its.caption.endswith("."), its.key
            assert len(END.findall(its.caption)) == 1, its.caption
            captions.setdefault(its.key, set()).add(its.caption)
    assert {key: found for key, found in captions.items() if len(found) > 1} == {}


def test_a_note_is_whole_sentences(pages):
    for page in pages.values():
        for its in exhibits(page):
            assert its.note[-1:] in ("", "."), its.note
            assert not re.search(r"  |\.\.(?![.,])|\bnan\b|\{", its.note), its.note


def test_no_cell_has_more_than_twelve_words(pages):
    for page in pages.values():
        for table in page.tables():
            longest = max((entry.text.split() for row in cells(table) for entry in row), key=len)
            assert len(longest) <= MOST_WORDS, (table.key, longest)


def test_the_error_of_a_lost_network_is_whole_in_its_file(tmp_path):
    run = fake_run(tmp_path / "run", "smoke", lost={0: "failed"})
    [lost] = [table for table in page_of(run).tables() if table.key == "lost"]
    error = "OSError: no space left on <device> & more"
    assert lost.frame["error"].tolist() == [error]
    assert lost.formats["error"](f"{error} and {error}") == f"{error} and OSError: no space…"


def test_cohorts_share_a_caption_and_have_notes_of_their_own(pages):
    [panels] = [its for its in exhibits(pages["several"]) if its.key == "all-models"]
    assert isinstance(panels, Panels)
    assert {plot.caption for plot in panels.parts} == {panels.caption}
    first, second = (plot.note for plot in panels.parts)
    assert "Simulated data." in first
    assert "imulated" not in second
    assert "Left out: 4 of" in second


def test_the_page_and_the_markdown_have_caption_and_note(tmp_path):
    narrowing = Narrowing(seeds=3, noise=(0.5, 1.0), depths=("2",), betas=(0.0,))
    runs = [
        fake_run(tmp_path / name, narrowing=narrowing, data=name * 64, mse=mse, simulated=False)
        for name, mse in (("a", effect_as_written), ("b", lambda *_: 0.7))
    ]
    page = page_of(*runs)
    images = dict.fromkeys((plot.key for plot in page.plots()), save(page.plots()[0]))
    text, marked = html(page, images), markdown(page)
    [panels] = [its for its in exhibits(page) if its.key == "fig-6"]
    caption = panels.caption.replace("'", "&#39;")
    assert text.count(f"</b> {caption}") == 5  # Figs. 6 to 10
    # what both lack is noted once, under both
    assert {plot.note for plot in panels.parts} == {""}
    assert text.count(f'<span class="note">{panels.note}</span>') == 1
    assert panels.note.split(" (")[0] in marked
    [genes] = [its for its in exhibits(page) if its.key == "genes"]
    assert genes.note.startswith("Sorted by dense-2, whose rank 1 is the worst of 30 genes;")
