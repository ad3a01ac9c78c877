"""The report's folder: its content, escaped, whole or absent, and the same for the same runs."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from data_utils.errors import InputError
from study.evidence.evidence import load_evidence
from study.evidence.stats import HOLDS, REVERSED
from study.report import exports
from study.report.checklist import (
    checklist,
    data_facts,
    reproduce_command,
    run_facts,
    search_bounds,
    side_by_side,
    split_facts,
)
from study.report.document import (
    Command,
    Document,
    Fold,
    Link,
    Plot,
    Points,
    Section,
    Table,
    Words,
    stamped,
)
from study.report.folder import write_report
from study.report.headline import in_short
from study.report.wording import Span
from study.run.folder import RunFolder
from tests.small import member
from tests.study.runs import effect_as_published, effect_as_written, fake_run

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = "<script>alert('gene')</script>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The grid as-written of 3 seeds (210 networks, some lost), and the scripts' of 9."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        fake_run(
            folder / "paper", "as-written", lost={170: "failed", 171: "diverged", 209: "failed"}
        ),
        fake_run(folder / "as-published", "as-published", seeds=9),
    ]


@pytest.fixture(scope="module")
def report(runs):
    return write_report(runs, runs[0] / "report").parent


@pytest.fixture(scope="module")
def page(report):
    return (report / "index.html").read_text("utf-8")


def text_of(page):
    """What a reader sees, white space as single blanks."""
    parts = []

    class Reader(HTMLParser):
        hidden = False

        def handle_starttag(self, tag, attributes):
            self.hidden = tag in ("style", "script")

        def handle_endtag(self, tag):
            self.hidden = False

        def handle_data(self, data):
            parts.append("" if self.hidden else data)

    Reader().feed(page)
    return " ".join("".join(parts).split())


def test_what_is_in_the_folder(report, page):
    assert {path.name for path in report.iterdir()} == {
        *("index.html", "report.md", "figures", "tables", "ro-crate-metadata.json")
    }
    figures = {path.name for path in (report / "figures").iterdir()}
    keys = {name.partition(".")[0] for name in figures}
    assert {f"fig-{n}" for n in (1, 3, 5, 6, 7, 8, 9, 10)} <= keys
    assert figures == {f"{key}.{ending}" for key in keys for ending in ("png", "svg", "csv")}
    claims = pd.read_csv(report / "tables" / "claims.csv")
    assert claims["claim"].drop_duplicates().tolist() == [
        *("C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7", "C8", "C9")
    ]
    found = claims.set_index(["claim", "protocol", "measured on"])
    published = found.loc["C3", "as-published", "clean training rows"]
    written = found.loc["C3", "as-written", "noisy test rows"]
    assert (published["verdict"], published["replicates"]) == ("holds", 9)
    assert (written["verdict"], written["replicates"]) == ("reversed", 3)
    markdown = (report / "report.md").read_text("utf-8")
    assert "**As-published, clean training rows:** holds: +" in markdown
    assert "**As-written, noisy test rows:** reversed: -" in markdown
    assert "**As-written:** not measured; --grid inference." in markdown
    tables = {path.name for path in (report / "tables").iterdir()}
    keys = {name.rpartition(".")[0] for name in tables}
    assert {"claims", "fig-2", "fig-4", "division-by-n", "data", "runs", "checklist"} <= keys
    assert tables == {f"{key}.{ending}" for key in keys for ending in ("csv", "tex")}
    division = pd.read_csv(report / "tables" / "division-by-n.csv")
    assert division["samples n"].tolist()[:5] == [*[2921] * 4, 292]


def test_every_file_that_is_linked_is_there(report, page):
    linked = {link for link in re.findall(r'href="([^"#]+)"', page) if not link.startswith("data:")}
    assert len(linked) > 50
    assert [link for link in linked if not (report / link).is_file()] == []
    linked = re.findall(r"!\[.*?(?<!\\)\]\((.*?)\)", (report / "report.md").read_text("utf-8"))
    assert linked
    assert [link for link in linked if not (report / link).is_file()] == []


def test_nothing_is_fetched(page):
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert "default-src 'none'" in page
    assert "@import" not in page
    assert "url(" not in page


def test_simulated_data_are_called_so_before_anything_else(report, page, undrawn, tmp_path):
    assert page.index("The data are SIMULATED") < page.index("<nav")
    assert (report / "report.md").read_text("utf-8").index("The data are SIMULATED") < 500
    real = fake_run(tmp_path / "real", "smoke", simulated=False)
    text = write_report([real], tmp_path / "out").read_text("utf-8")
    assert "SIMULATED" not in text
    assert "/data/&lt;expression&gt;.gct.gz" in text


def test_what_is_foreign_stays_text(runs, report, page):
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(&#39;gene&#39;)" in page
    assert "<b>Blood" not in page
    assert "no space left on &lt;device&gt; &amp; more" in page
    markdown = (report / "report.md").read_text("utf-8")
    assert r"\<script\>alert" in markdown
    assert not re.search(r"(?<!\\)<(script|b|device)", markdown)
    for path in (report / "figures").glob("*.svg"):
        assert "<script" not in path.read_text("utf-8")


def test_the_same_runs_give_the_same_bytes(tmp_path):
    runs = [fake_run(tmp_path / "run", members=[member()])]
    report = write_report(runs, tmp_path / "report").parent
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    write_report(runs, report)
    after = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert [
        path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    ] == []


def test_in_short_says_what_the_numbers_are(runs):
    evidence = load_evidence(runs)
    from study.paper.claims import judge_claims

    judgements = judge_claims(evidence)
    points = {point.lead: point.text for point in in_short(evidence, judgements)}
    assert len(points) == 5
    # The mixture's made-up MSE is .45 / .5 of Wiener's at every noise factor.
    first = points["What denoises best:"]
    assert "has 9.9 % less error than the Wiener filter" in first
    assert "noise 0.1 to 1" in first
    assert "The simulated cohort is itself a mixture" in first
    # The as-written MSE is .3 + .2 a + .01 depth: it is worse than a^2 up to 0.6, and at 0.7 (.49)
    # for conv (.56) only.
    worse = points["Worse than leaving the noisy input alone:"]
    assert worse == "every network at noise 0.1 to 0.6 and some networks at noise 0.7."
    best = points["The paper's networks:"]
    assert "dense-2" in best
    assert "MSE 0.42" in best  # .3 + .1 + .02
    assert "the linear Wiener filter 0.100" in best  # .5 x .25 / 1.25
    assert "leaving the input alone 0.250" in best


def test_how_near_the_rerun_comes_is_counted_over_the_plotted_curves(tmp_path):
    from study.paper.claims import judge_claims
    from study.paper.published import published_mse

    def off_by_a_fifth(member, noise):  # train_clean_mse is .03 below
        value = published_mse(member.model, noise)
        return (value.mse if value else 1.0) + 0.2 + 0.03

    run = fake_run(tmp_path / "run", "as-published", seeds=2, mse=off_by_a_fifth)
    evidence = load_evidence([run])
    [point] = [
        p for p in in_short(evidence, judge_claims(evidence)) if p.lead == "How near to the paper:"
    ]
    assert "over the 33 points of Figs. 6–8" in point.text
    assert "0.200 MSE from the published curve on average, 0.200 at most" in point.text


def test_provenance_and_checklist_are_filled(runs, page):
    evidence = load_evidence(runs)
    facts = side_by_side(evidence.runs, lambda run: run_facts(run.config, run.members))
    facts = facts.set_index("item")
    assert facts.loc["networks"].tolist() == [
        "210 of 210: 207 finished, 1 diverged, 2 failed",
        "54 of 54: 54 finished, 0 diverged, 0 failed",
    ]
    assert facts.loc["wall time", "paper"] == "23 min 16 s"
    assert "git 0000" in facts.loc["code", "paper"]
    data = data_facts(evidence.data).set_index("item")["value"]
    assert data["SHA-256 of the values used"] == "a" * 64
    assert split_facts(evidence.runs[0]) == {
        "split": "7 train, 1 validation, 2 test",
        "seeds and splits": "each seed has its own (split seed 0)",
    }
    answers = checklist(evidence).set_index("question")["answer"]
    assert answers["number"] == "264 networks: 261 finished, 1 diverged, 2 failed"
    assert answers["training time"].startswith("8 min 48 s")  # 264 x 2 s
    bounds = search_bounds(evidence).set_index("setting")
    assert bounds.loc["beta", "as-written"] == "0, 0.01"
    assert (
        bounds.loc["noise factor", "as-written"]
        == "0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1"
    )
    assert bounds.loc["optimizer", "as-published"] == "adadelta"
    assert bounds.loc["epochs", "as-published"] == "110"
    text = text_of(page)
    assert "python run_study.py --grid as-written" in text
    assert reproduce_command(evidence.runs[0]) in text
    assert re.search(r"python run_study\.py reproduce [0-9a-f]{12} --run \S*/paper", text)


def test_a_run_without_a_network_that_ended_has_nothing_to_reproduce(undrawn, tmp_path):
    run = fake_run(
        tmp_path / "run", "smoke", lost=dict.fromkeys(range(100), "failed"), tables=False
    )
    failed = len(load_evidence([run]).members)
    assert reproduce_command(load_evidence([run]).runs[0]) is None
    text = write_report([run], tmp_path / "out").read_text("utf-8")
    assert f"0 finished, 0 diverged, {failed} failed" in text


@pytest.mark.parametrize("grid", ["smoke", "as-published", "autopsy"])
def test_any_grid_gives_a_report_old_runs_too(undrawn, tmp_path, grid):
    run = fake_run(tmp_path / "run", grid, seeds=1, tables=False)
    text = write_report([run], tmp_path / "out").read_text("utf-8")
    assert "nan" not in re.findall(r"\b\w+\b", text_of(text))


def test_a_report_is_replaced_and_anything_else_is_not(undrawn, tmp_path):
    run = fake_run(tmp_path / "run", members=[member()], tables=False)
    out = tmp_path / "some" / "report"
    write_report([run], out)
    (out / "stale.txt").touch()
    write_report([run], out)
    assert not (out / "stale.txt").exists()
    assert [path.name for path in out.parent.iterdir()] == ["report"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="holds files but no report"):
        write_report([run], other)
    with pytest.raises(InputError, match="holds files but no report"):
        write_report([run], run)
    assert (other / "thesis.txt").read_text() == "years of work"
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=f"{file}: is a file, not a folder"):
        write_report([run], file)
    with pytest.raises(InputError, match="cannot be written"):
        write_report([run], file / "report")
    (tmp_path / "empty").mkdir()
    assert write_report([run], tmp_path / "empty").exists()


def test_after_an_error_the_old_report_stands(undrawn, tmp_path, monkeypatch):
    run = fake_run(tmp_path / "run", members=[member()], tables=False)
    out = tmp_path / "report"
    write_report([run], out)
    before = (out / "index.html").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("study.report.exports.markdown", full)
    with pytest.raises(InputError, match=r"report: cannot be written \(No space left on device\)"):
        write_report([run], out)
    assert (out / "index.html").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "run"]


def test_bad_runs_leave_nothing(tmp_path):
    with pytest.raises(InputError, match=r"config\.json: is missing: give the folder of a run"):
        write_report([tmp_path], tmp_path / "new" / "report")
    assert list(tmp_path.iterdir()) == []
    run = fake_run(tmp_path / "run", members=[member()], tables=False)
    (run / "metrics.parquet").unlink()
    with pytest.raises(
        InputError, match=r"metrics\.parquet: is missing: finish the run with --res"
    ):
        write_report([run], tmp_path / "new" / "report")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_report_loads_neither_torch_nor_ray(tmp_path):
    run = fake_run(tmp_path / "run", members=[member()], tables=False)
    code = (
        "import sys; from pathlib import Path; from study.report.folder import write_report\n"
        f"write_report([Path({str(run)!r})], Path({str(tmp_path / 'out')!r}))\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"torch", "ray"} & {name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.slow
def test_ten_thousand_networks_are_under_ten_megabytes(tmp_path):
    run = fake_run(
        tmp_path / "run", "as-written", seeds=70, lost=dict.fromkeys(range(3000), "failed")
    )
    page = write_report([run], tmp_path / "out")
    assert page.stat().st_size < 10e6
    text = page.read_text("utf-8")
    assert "10,010" in text
    assert "The first 200 of 3,000 rows" in text
    assert len(pd.read_csv(tmp_path / "out" / "tables" / "lost.csv")) == 3000


def a_table(**columns):
    return Table("key", "A title", "a caption.", pd.DataFrame(columns), {"mse": ".3f"})


def test_a_cell_that_is_missing_is_marked():
    table = a_table(
        gene=["a", None], mse=[0.12345, float("nan")], n=pd.array([1, pd.NA], dtype="Int64")
    )
    assert [[entry.text for entry in row] for row in exports.cells(table)] == [
        ["a", "0.123", "1"],
        ["–", "–", "–"],
    ]
    assert [entry.order for entry in exports.cells(table)[0]] == [None, 0.12345, 1.0]


def test_numbers_and_intervals_are_on_the_right():
    table = a_table(
        gene=["1", "2"], mse=[0.1, 0.2], both=[Span(0.1, 0.2, 1), None], none=[None] * 2
    )
    assert exports.numeric_columns(table) == [False, True, True, False]
    assert [entry.text for entry in exports.cells(table)[0]] == ["1", "0.100", "0.1 to 0.2", "–"]


def test_colour_and_link_follow_the_type_of_a_cell():
    table = a_table(
        claim=[Link("C1", "MSE <grows>")],
        text=[Link("C2")],
        verdict=[REVERSED],
        outcome=[HOLDS],
        foreign=["holds: not an outcome"],
    )
    page = exports.html(Document("T", "s", None, (Section("Top", (table,)),)), {}, files=False)
    assert '<a href="#c1">C1</a>: MSE &lt;grows&gt;' in page
    assert '<a href="#c2">C2</a><' in page
    assert '<span class="verdict reversed">reversed</span><' in page
    assert '<span class="verdict holds">holds</span><' in page
    assert page.count('class="verdict ') == 2
    assert ">holds: not an outcome<" in page


def test_simulated_data_mark_what_is_measured_and_nothing_else():
    measured, drawn = a_table(mse=[1.0]), replace(a_table(mse=[1.0]), measured=False)
    plot = Plot("p", "P", "", pd.DataFrame({"x": [1.0]}), lambda data: Figure())
    section = stamped(
        Section("Top", (Fold("C1", "s", (measured,)), drawn, plot, Words("w")), frozenset("a"))
    )
    fold, drawn, plot, words = section.blocks
    assert fold.blocks[0].description == "a caption. Simulated data."
    assert (drawn.description, words.text) == ("a caption.", "w")
    assert (plot.description, plot.stamp) == ("Simulated data.", "simulated data")
    assert [text.get_text() for text in plot.figure().texts] == ["simulated data"]
    assert section.networks == {"a"}


def test_latex_is_escaped():
    table = a_table(**{"50 % & more": ["a_b#{c}~^\\", "α² ± 1 $"], "mse": [0.5, float("nan")]})
    text = exports.latex(table)
    assert r"50 \% \& more & mse \\" in text
    assert r"a\_b\#\{c\}\textasciitilde{}\textasciicircum{}\textbackslash{} & 0.500 \\" in text
    assert r"α² ± 1 \$ & – \\" in text
    assert r"\begin{tabular}{lr}" in text
    for part in (r"\toprule", r"\caption{A title. a caption.}", r"\label{tab:key}"):
        assert part in text


def test_markdown_of_every_block():
    table = a_table(gene=[SCRIPT, "a|b"], mse=[0.5, 1.0])
    section = Section("Part *one*", (Fold("C1", "says", (Words("no `code`", "Lead:"),)), table))
    points = Points((Words("[x](y)", "One:"), Words("& two")))
    text = exports.markdown(
        Document(
            "T",
            "s",
            Words("Of it", "Beware."),
            (Section("Top", (section, points, Command("a `b`\nc"))),),
        )
    )
    assert text.startswith("# T\n\ns\n\n> **Beware.** Of it\n\n## Top\n\n### Part \\*one\\*\n")
    assert "**C1 says**\n\n**Lead:** no \\`code\\`" in text
    assert (
        "| gene | mse |\n| --- | ---: |\n"
        "| \\<script\\>alert('gene')\\</script\\> | 0.500 |\n| a\\|b | 1.000 |" in text
    )
    assert "- **One:** \\[x\\](y)\n- \\& two" in text
    assert "    a `b`\n    c" in text


def test_effects_of_the_made_up_runs_are_those_that_the_tests_count_on():
    class Member:
        model, seed, phases = "dense-2", 0, ()

    assert effect_as_written(Member, 0.5) == pytest.approx(0.42, abs=0.002)
    assert effect_as_published(Member, 0.0) == pytest.approx(0.94, abs=0.002)


def test_a_run_that_was_stopped_before_any_network_ended_has_a_page(undrawn, tmp_path):
    folder = RunFolder(fake_run(tmp_path / "run", members=[member()], tables=False))
    folder.merge([member()], {})
    text = write_report([folder.path], tmp_path / "report").read_text("utf-8")
    assert "Figure 7. Noise factor against MSE, 4 layers" in text
    assert 'class="verdict' not in text  # nothing was measured, so nothing is judged
    assert not load_evidence([folder.path]).levels["test_mse"].count()
