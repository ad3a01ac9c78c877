"""Several cohorts on one page: what stands side by side, and what cannot be compared."""

import re
from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from models.config import SMALL_CODE
from study.evidence.evidence import load_cohorts, load_evidence
from study.grids import GRIDS, Narrowing
from study.paper.claims import judge_claims
from study.report.cohorts import MOST_COLUMNS, limits_of_comparison, sections_together, together
from study.report.document import (
    LONG,
    Command,
    Document,
    Networks,
    Panels,
    Plot,
    Points,
    Section,
    Table,
    Words,
    folded,
    walk,
)
from study.report.exports import Image, Picture, html
from study.report.other import draw_others
from study.report.page import build
from study.report.referee import referee_answers
from study.report.style import looks_of
from tests.study.runs import GENES, N_GENES, effect_as_written, fake_run

SMALL = Narrowing(seeds=3, depths=("2", "4"), noise=(0.1, 0.5), betas=(0.0,))
FEWER = Narrowing(seeds=3, depths=("2",), noise=(0.5, 1.0), betas=(0.0,))


def lungs(folder, narrowing=SMALL, **how):
    """A run on other data, whose networks err by 0.1 more."""
    how = {"mse": lambda member, noise: effect_as_written(member, noise) + 0.1} | how
    of_lungs = {"data": "b" * 64, "simulated": False, "narrowing": narrowing}
    return fake_run(folder, "as-written", **of_lungs | how)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on a simulated cohort, and one on lungs without dense-4, on other and fresh noise."""
    folder = tmp_path_factory.mktemp("runs")
    fresh = [replace(member, noise_draws="fresh") for member in GRIDS["as-written"](FEWER)]
    small = fake_run(folder / "small", "as-written", narrowing=SMALL)
    return small, lungs(folder / "lungs", members=fresh)


@pytest.fixture(scope="module")
def page(runs):
    return build({cohort: judge_claims(cohort) for cohort in load_cohorts(runs)})


def said(document, title="Comparing the cohorts"):
    """The points of a section: {lead: text}."""
    for section in document.sections:
        if section.title == title:
            return {words.lead: words.text for words in section.blocks[0].items}
    return {}


def blocks(document, kind, key):
    found = [block for block in walk(document.sections) if isinstance(block, kind)]
    return [block for block in found if block.key == key]


# Joining blocks


def table(*numbers, key="errors"):
    return Table(key, "Errors", "", pd.DataFrame({"mse": numbers}), {"mse": ".2f"})


def plot(*numbers):
    return Plot("curve", "Curve", "A curve.", pd.DataFrame({"mse": numbers}), lambda data: None)


def test_one_cohort_is_left_as_it_is():
    alone = (table(1.0), Words("said"))
    assert together({"a": alone}) == alone


def test_tables_are_stacked_with_the_cohort_in_the_first_column():
    [joined] = together({"a": (table(1.0, 2.0),), "b": (table(3.0),)})
    assert joined.frame.to_dict("list") == {"data": ["a", "a", "b"], "mse": [1.0, 2.0, 3.0]}
    assert joined.formats == {"mse": ".2f"}


def test_notes_that_differ_have_the_name_of_their_cohort():
    tables = {name: replace(table(1.0), note=f"Note {i}.") for i, name in enumerate("ab")}
    [joined] = together({"a": (tables["a"],), "b": (replace(table(2.0), note="Note 1."),)})
    assert joined.note == "a: Note 0. b: Note 1."
    more = {"a": "Of two. Note 1.", "b": "Note 1. Of 3 %."}
    [joined] = together(
        {name: (replace(table(float(len(note))), note=note),) for name, note in more.items()}
    )
    assert joined.note == "Note 1. a: Of two. b: Of 3 %."
    [joined] = together({"a": (tables["b"],), "b": (replace(table(2.0), note="Note 1."),)})
    assert joined.note == "Note 1."


def test_a_column_that_one_cohort_lacks_is_missing_there():
    other = Table("errors", "Errors", "", pd.DataFrame({"mse": [3.0], "conv": [4.0]}))
    [joined] = together({"a": (table(1.0),), "b": (other,)})
    assert list(joined.frame) == ["data", "mse", "conv"]
    assert joined.frame["conv"].isna().tolist() == [True, False]


def test_figures_are_panels_named_by_cohort_and_like_ones_stand_once():
    [panels] = together({"a b": (plot(1.0),), "c": (plot(2.0),)})
    assert isinstance(panels, Panels)
    assert [(its.key, its.title) for its in panels.parts] == [
        ("curve-a-b", "Curve (a b)"),
        ("curve-c", "Curve (c)"),
    ]
    [once] = together({"a": (plot(1.0),), "b": (plot(1.0),)})
    assert isinstance(once, Plot)


def test_a_table_that_is_long_in_one_cohort_only_is_joined_and_folded():
    short, long = table(1.0), table(*range(30))
    [fold] = together({"a": folded([short]), "b": folded([long])})
    assert (fold.name, fold.summary) == ("Errors", "(31 rows)")
    assert fold.blocks[0].frame["data"].tolist() == ["a", *["b"] * 30]


def test_an_exhibit_that_one_cohort_lacks_names_the_other():
    joined = together({"a": (table(1.0),), "b": (table(2.0), table(3.0, key="conv"))})
    assert [(block.key, block.title) for block in joined] == [
        ("errors", "Errors"),
        ("conv", "Errors (b)"),
    ]
    assert joined[1].frame.to_dict("list") == {"mse": [3.0]}
    [figure] = together({"a": (), "b": (plot(1.0),), "c": (plot(1.0),)})
    assert (figure.kind, figure.title) == ("plot", "Curve (b and c)")


def test_a_section_that_one_cohort_has_begins_with_its_name():
    parts = {"a": (), "b": (Section("Own", (table(1.0), Words("said"))),)}
    [own] = together(parts)
    assert own.blocks[0] == Words("Only b.")
    assert [own.blocks[1].title, own.blocks[2].text] == ["Errors (b)", "said"]


def test_what_only_a_later_cohort_has_keeps_its_place():
    parts = {"a": ("1", "3"), "b": ("1", "2", "3"), "c": ("0", "1")}
    joined = together({name: tuple(map(Command, its)) for name, its in parts.items()})
    assert [command.text for command in joined] == ["0", "1", "2", "3"]


def long_table(rows, name="Errors"):
    frame = pd.DataFrame({"mse": np.arange(rows, dtype=float)})
    return folded([Table("errors", name, "", frame)])


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_table_is_folded_if_all_its_rows_are_many(order):
    rows = {"a": LONG + 1, "b": 3}
    [fold] = together({name: long_table(rows[name]) for name in order})
    assert (fold.name, fold.summary) == ("Errors", f"({LONG + 4} rows)")
    assert len(fold.blocks[0].frame) == LONG + 4
    [fold] = together({name: long_table(20 + i) for i, name in enumerate(order)})
    assert fold.summary == "(41 rows)"
    [alone] = together({order[0]: long_table(10), order[1]: long_table(10)})
    assert isinstance(alone, Table)  # alike, so its rows stand once


def test_a_folded_table_of_one_cohort_has_its_name():
    [fold] = together({"a": (), "b": long_table(30)})
    assert (fold.name, fold.summary, fold.blocks[0].title) == (
        "Errors",
        "(30 rows, b)",
        "Errors (b)",
    )


def by_method(values, published=(1.0, 2.0), key="errors"):
    frame = pd.DataFrame({"network": ["dense-2", "dense-4"], "published": published, **values})
    return Table(key, "Errors", "Of each.", frame, dict.fromkeys(values, ".2f"), by=("network",))


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_methods_stand_in_rows_and_cohorts_in_columns(order):
    tables = {
        "a": by_method({"as its text says": [3.0, 4.0]}),
        "b": by_method({"as its text says": [5.0, None], "as its scripts ran": [7.0, 8.0]}),
    }
    [joined] = together({name: (tables[name],) for name in order})
    assert set(joined.frame) == {
        "network",
        "published",
        "as its text says, a",
        "as its text says, b",
        "as its scripts ran, b",
    }
    assert joined.frame["published"].tolist() == [1.0, 2.0]
    assert joined.frame["as its text says, a"].tolist() == [3.0, 4.0]
    assert joined.frame["as its scripts ran, b"].tolist() == [7.0, 8.0]
    assert joined.frame["as its text says, b"].isna().tolist() == [False, True]
    assert joined.formats["as its text says, b"] == ".2f"


def test_a_row_that_one_cohort_lacks_is_missing_there():
    first = by_method({"mse": [3.0, 4.0]})
    other = replace(first, frame=first.frame.replace("dense-4", "Wiener").assign(mse=[5.0, 6.0]))
    [joined] = together({"a": (first,), "b": (other,)})
    assert joined.frame.set_index("network")["mse, b"].dropna().to_dict() == {
        "dense-2": 5.0,
        "Wiener": 6.0,
    }


def test_too_many_columns_are_a_table_for_each_cohort_under_one_caption():
    noise = {f"α = {i / 10:g}": [i, i + 1.0] for i in range(MOST_COLUMNS // 2)}
    tables = {
        name: by_method({n: [x + i, y] for n, (x, y) in noise.items()})
        for i, name in enumerate("ab")
    }
    [panels] = together({name: (its,) for name, its in tables.items()})
    assert isinstance(panels, Panels)
    assert (panels.title, panels.caption) == ("Errors", "Of each.")
    assert [(its.key, its.title) for its in panels.parts] == [
        ("errors-a", "Errors (a)"),
        ("errors-b", "Errors (b)"),
    ]
    text = html(Document("", "", None, (Section("Errors", (panels,)),)), {})
    assert text.count("Of each.") == 1
    assert panels.parts[1].frame is tables["b"].frame


def kinds(*names):
    data = pd.DataFrame({"series": names, "noise_factor": 0.5, "mse": np.arange(len(names)) + 1.0})
    return Plot(
        "others", "Others", "Others.", data, partial(draw_others, x="noise_factor", ylabel="")
    )


def colours(panel):
    [axes] = panel.figure().axes
    return {line.get_label(): line.get_color() for line in axes.get_lines()}


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_series_has_one_look_in_every_panel_and_order(order):
    plots = {"a": kinds("p", "q"), "b": kinds("r", "q", "s")}
    [panels] = together({name: (plots[name],) for name in order})
    looks = [colours(panel) for panel in panels.parts]
    assert looks[0]["q"] == looks[1]["q"]
    every = looks[0] | looks[1]
    assert len(set(every.values())) == 4
    assert every == {name: looks_of("pqrs")[name]["color"] for name in "pqrs"}


def test_places_of_cohorts_whose_names_have_no_plain_letters_differ():
    [panels] = together({"ä": (plot(1.0),), "ö": (plot(2.0),), "c": (plot(3.0),)})
    assert [panel.key for panel in panels.parts] == ["curve-data-1", "curve-data-2", "curve-c"]


def test_words_are_said_once_or_with_the_cohort():
    parts = {
        "a": (Section("In short", (Points((Words("same", "Both:"), Words("one", "Best:"))),)),),
        "b": (Section("In short", (Points((Words("same", "Both:"), Words("two", "Best:"))),)),),
        "c": (Section("In short", (Points((Words("same", "Both:"),)),)), Section("Own", ())),
    }
    short, own = sections_together(parts)
    assert short.blocks == (
        Points((Words("same", "Both:"), Words("one", "Best (a):"), Words("two", "Best (b):"))),
    )
    assert own.blocks == (Words("Only c."),)


def test_words_that_some_cohorts_lack_have_the_names_of_those_with_them():
    words = Words("not measured", "As-published:", ("Limits",))
    parts = {"a": (words,), "b": (words,), "c": (Words("", "Not asked"),)}
    assert together(parts) == (
        Words("", "Not asked (c)"),
        Words("not measured", "As-published (a and b):", ("Limits",)),
    )


# The page


def test_the_warning_names_the_cohorts_that_are_simulated(page):
    assert page.warning == Words(
        "Numbers of “simulated” are properties of a simulation, not measurements of tissue.",
        "Some data are SIMULATED.",
    )


def test_verdicts_have_a_column_for_each_cohort_and_protocol(page):
    [outcomes] = [block for block in page.first if getattr(block, "key", "") == "outcomes"]
    assert list(outcomes.frame) == [
        "claim of the paper",  # the scripts' protocol was not measured
        "as its text says, simulated",
        "as its text says, <expression>",
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_every_id_is_there_once_and_every_link_has_its_target(runs, order):
    cohorts = load_cohorts([runs[i] for i in order])
    document = build({cohort: judge_claims(cohort) for cohort in cohorts})
    empty = Image("data:,", 1, 1, "[]")
    text = html(document, {plot.key: Picture(empty, empty) for plot in document.plots()})
    ids = Counter(re.findall(r' id="([^"]*)"', text))
    links = set(re.findall(r'href="#([^"]*)"', text))
    assert [name for name, n in ids.items() if n > 1] == []
    assert len(links) > 20
    assert links - set(ids) == set()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_cohort_without_judgements_has_no_column_and_no_answer(runs, order):
    cohorts = load_cohorts([runs[i] for i in order])
    judged = {its: judge_claims(its) if its.simulated else [] for its in cohorts}
    document = build(judged)
    [outcomes] = [block for block in document.first if getattr(block, "key", "") == "outcomes"]
    assert list(outcomes.frame) == ["claim of the paper", "as its text says, simulated"]
    answers = " ".join(words.text for words in referee_answers(judged, document.sections))
    assert "as its text says, simulated" in answers
    assert "says, <expression>" not in answers


def test_networks_are_filtered_by_cohort_first(page):
    [networks] = blocks(page, Networks, "networks")
    assert networks.keys[:2] == ("data", "model")
    frame = networks.frame
    assert frame.groupby("data")["model"].agg(set).to_dict() == {
        "<expression>": {"dense-2"},
        "simulated": {"dense-2", "dense-4", SMALL_CODE},
    }
    at = (frame["model"] == "dense-2") & (frame["noise"] == 0.5) & (frame["seed"] == 0)
    mse = frame[at].set_index("data")["MSE, noisy test rows"]
    assert mse["<expression>"] - mse["simulated"] == pytest.approx(0.1)


def test_a_figure_of_a_model_that_one_cohort_lacks_shows_the_other(page):
    [figure] = blocks(page, (Plot, Panels), "fig-7")
    assert [its.title.partition("(")[2] for its in figure.parts] == ["simulated)", "<expression>)"]
    [learning] = blocks(page, (Plot, Panels), "learning-as-written")
    ours = {its.title.partition("(")[2]: set(its.data["model"]) for its in learning.parts}
    assert ours == {"simulated)": {"dense-2", "dense-4", SMALL_CODE}, "<expression>)": {"dense-2"}}


def test_what_cannot_be_compared_is_said(page):
    assert said(page) == {
        "Noise factors.": "simulated has 0.1, 0.5; <expression> has 0.5, 1. "
        "Compare errors at 0.5; verdicts rest on each cohort's own.",
        "Noise draws.": "Networks trained as the text says on noise that was drawn otherwise "
        "(simulated: once; <expression>: fresh), so their errors cannot be compared between these "
        "cohorts; those of references can.",
        "Models.": f"<expression> lacks dense-4 and {SMALL_CODE}.",
    }


def test_cohorts_that_differ_in_nothing_but_data_have_no_such_section(runs, tmp_path):
    cohorts = load_cohorts([runs[0], lungs(tmp_path / "other")])
    assert limits_of_comparison(cohorts) == ()
    document = build({cohort: judge_claims(cohort) for cohort in cohorts})
    assert said(document) == {}
    assert "Comparing the cohorts" not in [section.title for section in document.sections]


def test_one_cohort_has_nothing_to_compare(runs):
    assert limits_of_comparison([load_evidence(runs[:1])]) == ()


def test_no_common_noise_factor_is_said(runs, tmp_path):
    apart = lungs(tmp_path / "apart", replace(SMALL, noise=(0.2, 1.0)))
    [words] = limits_of_comparison(load_cohorts([runs[0], apart]))
    assert words.text == (
        "simulated has 0.1, 0.5; <expression> has 0.2, 1. "
        "None is common, so no two errors can be compared."
    )


@pytest.mark.parametrize(
    ("kept", "shared"), [(10, "10 are common"), (0, "none is common")], ids=["some", "none"]
)
def test_genes_that_cohorts_do_not_share_are_counted(runs, tmp_path, kept, shared):
    other = lungs(tmp_path / "other")
    genes = pd.read_parquet(other / "genes.parquet")
    foreign = {gene: f"other-{i}" for i, gene in enumerate(GENES[kept:])}
    genes["gene_id"] = genes["gene_id"].replace(foreign)
    genes.to_parquet(other / "genes.parquet", index=False)
    [words] = limits_of_comparison(load_cohorts([runs[0], other]))
    assert words.lead == "Genes."
    assert words.text == (
        f"Of the genes, {N_GENES} of simulated and {N_GENES} of <expression>, {shared}: each MSE "
        "is a mean over the cohort's own genes."
    )


def test_a_failed_network_is_no_model_of_its_cohort(runs, tmp_path):
    planned = GRIDS["as-written"](SMALL)
    lost = {i: "failed" for i, member in enumerate(planned) if member.model == "dense-4"}
    other = lungs(tmp_path / "other", members=planned, lost=lost)
    [words] = limits_of_comparison(load_cohorts([runs[0], other]))
    assert (words.lead, words.text) == ("Models.", "<expression> lacks dense-4.")
