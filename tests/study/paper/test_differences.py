"""The differences from the paper are one table, in docs/paper.md and in the program."""

from pathlib import Path

from study.grids import LONG_EPOCHS, PUBLISHED_CONV, PUBLISHED_DENSE, PUBLISHED_EPOCHS, plan
from study.options import Narrowing
from study.paper.differences import DIFFERENCES, differences_markdown, differences_table

DOCS = Path(__file__).resolve().parents[3] / "docs/paper.md"


def of(item):
    [found] = [its for its in DIFFERENCES if its.item == item]
    return found


def test_the_documentation_has_the_table():
    assert differences_markdown() in DOCS.read_text(encoding="utf-8")


def test_every_item_is_there_once_and_whole():
    table = differences_table()
    assert table["item"].is_unique
    assert (table.map(len) > 0).all(axis=None)
    assert not table.map(lambda text: "|" in text).any(axis=None)


def test_the_table_says_what_the_grids_do():
    dense, conv = PUBLISHED_DENSE, PUBLISHED_CONV
    written = plan("as-written", Narrowing())
    assert (dense["code_layers"], dense["code_activation"], dense["output"]) == (
        1,
        "relu",
        "sigmoid",
    )
    assert (of("dense layers").as_published, of("activation of the code").as_published) == (
        "one",
        "ReLU",
    )
    assert of("conv input in training").as_published == "clean"
    assert conv["noise_draws"] == "none"
    assert f"(conv: {conv['batch_size']})" in of("optimiser").scripts
    assert of("length of training").as_published == (
        f"{PUBLISHED_EPOCHS}; for 2 layers also {LONG_EPOCHS}"
    )
    assert {member.noise_draws for member in written} == {"once"}
    assert {member.beta for member in written} == {0, 0.01}
    seeds = {member.seed for member in written}
    assert of("repetitions").as_published == f"{len(seeds)} seeds"
