"""The differences from the paper are one table, in docs/paper.md and in the program."""

from pathlib import Path

from models.architecture import architecture
from models.config import PLAIN, SMALL_CODE
from models.engine.optimizers import WARM_UP
from study.grids import (
    LONG_EPOCHS,
    PUBLISHED_CONV,
    PUBLISHED_DENSE,
    PUBLISHED_EPOCHS,
    USUAL_SAMPLES,
    plan,
)
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
    assert table.map(lambda text: len(text.split())).to_numpy().max() <= 12


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
    sparse = {member.rho for member in written if member.beta}
    assert of("rho and units of the KL term").as_written == f"{min(sparse)}, over the code units"
    assert len(sparse) == 1
    assert SMALL_CODE in {member.model for member in written}
    small = architecture(SMALL_CODE).bottleneck
    assert f"half the units, {small}" in of("smaller code").as_written
    assert {member.rate_schedule for member in written} == {"cosine"}
    assert f"{100 * WARM_UP:g} % of the steps" in of("schedule of the learning rate").as_written
    assert dense.get("rate_schedule", PLAIN["rate_schedule"]) == "constant"
    fewer = plan("as-written", Narrowing(samples=1000))
    assert {a.epochs for a in fewer} != {a.epochs for a in written}
    published = [plan("as-published", Narrowing(samples=n)) for n in (1000, USUAL_SAMPLES)]
    assert published[0] == published[1]
    assert f"{USUAL_SAMPLES:,} samples" in of("epochs on fewer samples").why
    seeds = {member.seed for member in written}
    assert of("replicates").as_published == f"{len(seeds)}"
