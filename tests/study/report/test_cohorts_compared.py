"""Several cohorts on one page: what stands side by side, and what cannot be compared."""

from dataclasses import replace

import pandas as pd
import pytest

from models.config import SMALL_CODE
from study.evidence.evidence import load_cohorts, load_evidence
from study.grids import GRIDS, Narrowing
from study.paper.claims import judge_claims
from study.report.cohorts import limits_of_comparison, sections_together, together
from study.report.document import (
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
from study.report.page import build
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
    assert [(its.key, its.title) for its in panels.plots] == [
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
    assert [block.key for block in joined] == ["errors", "conv"]
    assert joined[1].frame.to_dict("list") == {"data": ["b"], "mse": [3.0]}


def test_words_are_said_once_or_with_the_cohort():
    parts = {
        "a": (Section("In short", (Points((Words("same", "Both:"), Words("one", "Best:"))),)),),
        "b": (Section("In short", (Points((Words("same", "Both:"), Words("two", "Best:"))),)),),
        "c": (Section("In short", (Points((Words("same", "Both:"),)),)), Section("Own", ())),
    }
    short, own = sections_together(parts)
    assert short.blocks == (
        Points((Words("same", "Both:"), Words("one", "Best: a:"), Words("two", "Best: b:"))),
    )
    assert own.title == "Own"


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
    assert {its.title.partition("(")[2] for its in getattr(figure, "plots", ())} >= {"simulated)"}


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
