"""A search over the code size, in one process on tiny data: its choice, resumption, omissions."""

import dataclasses
import math
import shutil
import signal

import numpy as np
import optuna
import pandas as pd
import pytest

import run_study
from data_utils.errors import InputError
from data_utils.preparation import Replicates
from study.evidence import search as search_results
from study.evidence.evidence import load_evidence, load_run
from study.evidence.search import (
    SearchRun,
    answer,
    best_so_far,
    by_code_size,
    front,
    importance,
    search_of,
)
from study.options import SearchOptions, StudyOptions
from study.search import trials as search_trials
from study.search.search import Search, SearchStudy, open_search
from study.search.space import Space, objective
from study.search.trials import Looks, sampler
from tests.small import assert_same_tables, expression_file, flipped

SHORT = {"trials": 5, "seeds": 2, "epochs": 4, "confirm_seeds": 3, "sampler": "random"}


@pytest.fixture(autouse=True)
def without_report(monkeypatch):
    """The report is tested elsewhere, and takes longer than a tiny search."""
    monkeypatch.setattr(SearchStudy, "_report", lambda *_: True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"), n_samples=80)


@pytest.fixture
def opened(data, tmp_path):
    """A function: opens a search on tiny data; names of StudyOptions and SearchOptions."""

    def open_one(name="run", **options):
        names = {field.name for field in dataclasses.fields(StudyOptions)}
        study = {
            "data": str(data),
            "out": tmp_path / name,
            "local": True,
            "command": "python run_study.py --x",
        }
        study |= {key: options.pop(key) for key in list(options) if key in names}
        return open_search(StudyOptions(**study), SearchOptions(**{**SHORT, **options}))

    return open_one


def trials_of(study):
    return pd.read_parquet(study.folder.path / "trials.parquet").drop(columns="seconds")


def assert_same_trials(one, other):
    pd.testing.assert_frame_equal(trials_of(one), trials_of(other), check_exact=True)


def parts(study):
    """{file: time of writing} of the trials' results."""
    return {
        path.name: path.stat().st_mtime_ns
        for path in (study.trials.path / "parts").glob("*.members.parquet")
    }


# the space


def space(n_genes=943, **options):
    return Space(SearchOptions(**options), n_genes)


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"code_size": 32}, "dense-32x32"),
        ({"code_size": 20, "depth": 1}, "dense-40x20x20x40"),
        ({"code_size": 20, "depth": 2, "width": 1.5}, "dense-45x30x20x20x30x45"),
        ({"code_size": 20, "width": 3.0}, "dense-60x20x20x60"),
        ({"code_size": 512, "depth": 1, "width": 4.0}, "dense-943x512x512x943"),
        ({"code_size": 943, "depth": 1}, "dense-944x943x943x944"),
        ({"code_size": 1, "depth": 1, "width": 1.25}, "dense-2x1x1x2"),
    ],
)
def test_the_network_of_a_point_has_its_code(params, name):
    of_point = space(sizes=(1, 943))
    assert of_point.model(params) == name
    network = of_point.members(params)[0].architecture
    assert network.bottleneck == params["code_size"]
    assert len(network.code_layers) == 2


def test_members_are_seeds_by_noise_factors_in_the_order_of_a_pack():
    members = space(mode="all", seeds=2, noise=(0.1, 0.5), epochs=7).members(
        {"code_size": 9, "learning_rate": 0.002, "beta": 0.01}
    )
    assert [(m.seed, m.noise_factor) for m in members] == [(0, 0.1), (0, 0.5), (1, 0.1), (1, 0.5)]
    assert {(m.model, m.learning_rate, m.beta, m.epochs, m.grid) for m in members} == {
        ("dense-9x9", 0.002, 0.01, 7, "search-bottleneck")
    }


def test_the_objective_is_a_mean_over_seeds_and_a_geometric_mean_over_noise():
    assert objective([0.2, 0.4], [0.5, 0.5]) == pytest.approx(0.3)
    assert objective([0.1, 1.0, 0.3, 3.0], [0.1, 1.0, 0.1, 1.0]) == pytest.approx(
        math.sqrt(0.2 * 2.0)
    )
    assert math.isnan(objective([0.2, math.nan], [0.5, 0.5]))
    assert math.isnan(objective([0.2, math.inf], [0.5, 0.5]))


def test_the_first_point_is_the_papers_code_or_the_nearest():
    assert space().first() == {"code_size": 32}
    assert space(sizes=(40, 80)).first() == {"code_size": 40}
    assert space(n_genes=20).first() == {"code_size": 20}
    tuned = space(tune=("beta", "depth", "width", "learning_rate")).first()
    assert tuned == {"code_size": 32, "width": 2.0, "depth": 0, "learning_rate": 1e-3, "beta": 1e-5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"search": "depth"}, "--search depth: use one of bottleneck"),
        ({"mode": "some"}, "--mode some: use one of one, all, pareto"),
        ({"sampler": "cmaes"}, "--sampler cmaes: use one of tpe, gp, random"),
        ({"tune": ("rho",)}, "--tune rho: use some of width depth learning_rate beta"),
        ({"sizes": (64, 8)}, "--sizes 64 8: an empty range"),
        ({"sizes": (0, 8)}, "--sizes 0: give at least 1"),
        ({"sizes": (2, 61)}, "--sizes 2 61: the data have 60 genes"),
        ({"trials": 0}, "--trials 0: give at least 1"),
        ({"confirm_seeds": 0}, "--confirm-seeds 0: give at least 1"),
        ({"search_seed": -1}, "--search-seed -1: give at least 0"),
        ({"timeout": 0.0}, "--timeout 0: give a number of seconds above 0"),
        ({"timeout": math.nan}, "--timeout nan"),
        ({"noise": (0.1, 0.5)}, "--noise: mode one has one noise factor"),
        ({"noise": (-1.0,)}, "--noise -1"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(InputError) as refused:
        space(n_genes=60, **options)
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    "words",
    [
        ["--search", "depth"],
        ["--search", "bottleneck", "--sizes", "2", "61"],
        ["--search", "bottleneck", "--grid", "paper"],
        ["--search", "bottleneck", "--pack", "3"],
        ["--search", "bottleneck", "--depths", "2"],
        ["--trials", "3"],
        ["--mode", "one"],
        ["--search", "bottleneck", "--resume"],
    ],
)
def test_the_command_line_refuses_with_status_2_and_writes_nothing(
    words, data, tmp_path, capfd, monkeypatch
):
    monkeypatch.setattr("sys.argv", ["run_study.py"])
    assert (
        run_study.main([*words, "--local", "--data", str(data), "--out", str(tmp_path / "run")])
        == 2
    )
    assert capfd.readouterr().err.startswith("error: ")
    assert not (tmp_path / "run").exists()


# the sampler


@pytest.mark.parametrize("name", ["tpe", "gp", "random"])
def test_a_suggestion_depends_on_the_trials_and_not_on_how_often_the_search_was_resumed(name):
    distributions = space().distributions

    def course(n_trials, known=()):
        study = optuna.create_study()
        for trial in known:
            study.add_trial(trial)
        for number in range(len(known), n_trials):
            study.sampler = sampler(name, 3, number)
            trial = study.ask(distributions)
            study.tell(trial, abs(math.log(trial.params["code_size"] / 50)))
        return study.trials

    unbroken = course(14)
    sizes = [trial.params["code_size"] for trial in unbroken]
    for stop in (1, 12):
        resumed = course(14, unbroken[:stop])
        assert [trial.params["code_size"] for trial in resumed] == sizes
    assert len(set(sizes)) > 8
    assert all(2 <= size <= 512 for size in sizes)


# a search


def test_a_search_chooses_by_validation_and_tests_the_chosen_setting_alone(opened):
    study = opened()
    assert study.run() == 0
    run = search_of(load_run(study.folder.path))
    trials = run.trials
    assert trials["state"].tolist() == ["complete"] * 5
    assert trials["code_size"].iloc[0] == 32
    assert trials["number"].tolist() == list(range(5))
    tested = run.members["test_mse"].notna()
    best = trials.loc[trials["val_mse"].idxmin()]
    assert set(run.members.loc[tested, "model"]) == {best["model"], "dense-32x32"}
    assert all(
        sorted(rows["seed"]) == [0, 1, 2] for _, rows in run.members.loc[tested].groupby("model")
    )
    assert not run.members["member_id"].duplicated().any()
    for row in trials.itertuples():  # the objective is what the members say
        mine = run.members[run.members["member_id"].isin(list(row.members))]
        assert mine["seed"].tolist() == [0, 1]
        assert row.val_mse == pytest.approx(mine["val_mse"].mean(), rel=1e-12)
        assert row.epochs == 4
        assert list(row.look_epochs) == [2, 3]
    assert run.config["chosen"]["trial"] == best["number"]
    saved = {path.stem for path in (study.folder.path / "models").glob("*.safetensors")}
    assert saved == set(run.members.loc[tested, "member_id"])
    assert "Validation MSE is least" in (study.folder.path / "summary.md").read_text()
    evidence = load_evidence([study.folder.path])
    assert set(evidence.levels["member_id"]) == set(run.members["member_id"])
    sizes = set(search_results.references(run).query("reference == 'PCA'")["code_size"])
    assert sizes == set(trials["code_size"])


def journal_of(study):
    """The trials of the Optuna study in the run folder."""
    backend = optuna.storages.journal.JournalFileBackend(str(journal_file(study)))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="search-bottleneck", storage=storage).trials


def journal_file(study):
    return study.folder.path / "optuna.journal"


def test_the_journal_is_an_optuna_study_of_the_trials(opened):
    study = opened(epochs=4)
    assert study.run() == 0
    trials = trials_of(study)
    journal = journal_of(study)
    assert [trial.params["code_size"] for trial in journal] == trials["code_size"].tolist()
    assert [trial.value for trial in journal] == trials["val_mse"].tolist()
    assert [list(trial.intermediate_values) for trial in journal] == [[2, 3]] * 5
    assert {trial.user_attrs["epochs"] for trial in journal} == {4}


def test_with_two_objectives_the_journal_has_both(opened):
    study = opened(mode="pareto", epochs=2)
    assert study.run() == 0
    values = trials_of(study)[["val_mse", "code_size"]].to_numpy().tolist()
    assert [trial.values for trial in journal_of(study)] == values


def test_the_test_rows_play_no_part_in_the_search(opened, monkeypatch):
    one, other = opened("one"), opened("other")
    load = other.load

    class OtherTestRows(Replicates):
        def data(self, seed):
            its = super().data(seed)
            return dataclasses.replace(its, test=np.ascontiguousarray(its.test[::-1]) + 1)

    def with_other_test_rows():
        load()
        its = other.data
        other.data = OtherTestRows(
            its.values, its.sample_ids, its.gene_ids, its.groups, its.split_seed, its.fixed
        )

    monkeypatch.setattr(other, "load", with_other_test_rows)
    assert one.run() == other.run() == 0
    assert_same_trials(one, other)
    tables = [
        search_of(load_run(study.folder.path)).members.set_index("member_id")
        for study in (one, other)
    ]
    assert tables[0]["val_mse"].equals(tables[1]["val_mse"])
    assert (tables[0]["test_mse"].dropna() != tables[1]["test_mse"].dropna()).all()


def test_all_seeds_of_a_search_share_one_split(opened):
    """Else the validation rows that choose would be among the rows that test another seed."""
    study = opened(trials=1, epochs=1)
    assert study.run() == 0
    splits = pd.read_parquet(study.folder.path / "split.parquet")
    tested = splits[splits["split"] == "test"].groupby("seed")["sample_id"].agg(list)
    members = load_run(study.folder.path).members
    assert set(tested.index) == set(members["seed"])
    assert all(samples == tested[0] for samples in tested)
    assert study.folder.read_json("config.json")["fixed_split"] is True


def test_a_repeated_point_is_not_trained_again(opened):
    study = opened(sizes=(3, 4), trials=8)
    assert study.run() == 0
    trials = trials_of(study)
    assert len(trials) == 8
    assert len(parts(study)) == trials["code_size"].nunique() == 2
    assert trials.groupby("code_size")["val_mse"].nunique().eq(1).all()


# going on


def test_more_trials_later_are_those_of_an_unbroken_search(opened):
    whole = opened("whole", sampler="tpe", trials=13)
    assert whole.run() == 0
    broken = opened("broken", sampler="tpe", trials=4)
    assert broken.run() == 0
    before = parts(broken)
    again = opened("broken", sampler="tpe", trials=13, resume=True)
    assert again.run() == 0
    assert_same_trials(whole, again)
    after = parts(again)
    assert {name: after[name] for name in before} == before
    assert opened("broken", sampler="tpe", trials=13, resume=True).run() == 0  # nothing is left
    assert parts(again) == after


def test_a_killed_search_goes_on_with_the_trial_that_was_running(opened, monkeypatch):
    whole = opened("whole")
    assert whole.run() == 0
    killed = opened("killed")

    def die(looks, training):
        if looks.job.number == 3:
            raise SystemExit
        return True

    with monkeypatch.context() as patch:
        patch.setattr(Looks, "__call__", die)
        with pytest.raises(SystemExit):
            killed.run()
    states = [trial.state.name for trial in journal_of(killed)]
    assert states == ["COMPLETE"] * 3 + ["RUNNING"]
    before = parts(killed)
    again = opened("killed", resume=True)
    assert again.run() == 0
    assert_same_trials(whole, again)
    assert {name: parts(again)[name] for name in before} == before


@pytest.mark.parametrize("left", [0.5, 0.9, 0.99])
def test_a_search_whose_journal_lacks_its_end_goes_on(opened, left):
    """Whatever was being written when the driver was killed, also half a line or half a trial."""
    whole, broken = opened("whole"), opened("broken")
    assert whole.run() == broken.run() == 0
    content = journal_file(broken).read_bytes()
    journal_file(broken).write_bytes(content[: int(left * len(content))])
    journal_file(broken).with_name("optuna.journal.lock").symlink_to(journal_file(broken))
    before = parts(broken)
    assert opened("broken", resume=True).run() == 0
    assert_same_trials(whole, broken)
    assert parts(broken) == before


@pytest.mark.parametrize("table", ["members", "metrics"])
def test_a_damaged_trial_is_noticed_and_runs_again_and_the_others_stay(opened, table, capfd):
    whole = opened("whole")
    assert whole.run() == 0
    broken = opened("broken")
    assert broken.run() == 0
    ids = list(trials_of(broken)["members"].iloc[2])
    [part] = [
        path
        for path in (broken.trials.path / "parts").glob("*.members.parquet")
        if pd.read_parquet(path)["member_id"].tolist() == ids
    ]
    flipped(part.with_name(part.name.replace("members", table)), 0.5)
    before = {name: when for name, when in parts(broken).items() if name != part.name}
    again = opened("broken", resume=True)
    capfd.readouterr()
    assert again.run() == 0
    said = capfd.readouterr().err
    assert "its pack trains again" in said
    assert said.splitlines()[-1].startswith("next:    python run_study.py export ")
    assert_same_trials(whole, again)
    assert_same_tables(whole.folder.path, again.folder.path)
    assert {name: parts(again)[name] for name in before} == before
    assert (
        again.folder.read_json("config.json")["chosen"]
        == whole.folder.read_json("config.json")["chosen"]
    )


def test_a_search_that_was_killed_before_its_first_trial_goes_on(opened):
    whole, killed = opened("whole"), opened("killed")
    assert whole.run() == 0
    assert killed.run() == 0
    shutil.rmtree(killed.trials.path)
    (killed.folder.path / "optuna.journal").unlink()
    assert opened("killed", resume=True).run() == 0
    assert_same_trials(whole, killed)


def test_a_trial_that_had_begun_keeps_its_point(opened):
    """With several workers the trials known now are not those that its point was chosen by."""
    assert opened(trials=2).run() == 0
    again = opened(trials=4, resume=True)
    again.load()
    search = Search(again.space, again.trials, again.say)
    search.study.enqueue_trial({"code_size": 17})
    again.space.suggest(search.study.ask())
    assert again.run() == 0
    assert trials_of(again)["code_size"].iloc[2] == 17
    assert trials_of(again)["state"].tolist() == ["complete"] * 4


def test_ctrl_c_keeps_the_state_and_says_how_to_go_on(opened, monkeypatch, capfd):
    whole = opened("whole", epochs=6)
    assert whole.run() == 0
    looked = Looks.__call__

    def interrupted(self, training):
        if (self.job.number, training.epoch) == (2, 2):
            signal.raise_signal(signal.SIGINT)
        return looked(self, training)

    with monkeypatch.context() as patch:
        patch.setattr(Looks, "__call__", interrupted)
        capfd.readouterr()
        stopped = opened("stopped", epochs=6)
        assert stopped.run() == 130
    said = capfd.readouterr().err
    assert "continue with: python run_study.py --x --resume" in said
    assert trials_of(stopped)["state"].tolist() == ["complete", "complete", "running"]
    assert list((stopped.trials.path / "checkpoints").glob("*.safetensors"))
    again = opened("stopped", epochs=6, resume=True)
    assert again.run() == 0
    assert_same_trials(whole, again)


@pytest.mark.parametrize(
    "other",
    [
        {"sizes": (2, 40)},
        {"mode": "pareto"},
        {"seeds": 1},
        {"epochs": 5},
        {"tune": ("beta",)},
        {"split_seed": 1},
    ],
)
def test_another_search_does_not_go_on_in_the_folder(other, opened):
    assert opened(trials=1, confirm_seeds=1).run() == 0
    with pytest.raises(InputError, match="holds another study"):
        opened(trials=2, resume=True, **other).run()


def test_a_journal_of_another_search_or_a_damaged_one_is_refused(opened):
    one, other = opened("one", trials=1), opened("other", trials=1, sizes=(2, 40))
    assert one.run() == other.run() == 0
    journal_file(other).replace(journal_file(one))
    with pytest.raises(InputError, match=r"optuna\.journal: holds another study"):
        opened("one", trials=2, resume=True).run()
    journal_file(one).write_text("no journal\n")
    with pytest.raises(
        InputError, match=r"optuna\.journal: not a readable Optuna journal.*--fresh"
    ):
        opened("one", trials=2, resume=True).run()


def test_the_time_is_up(opened):
    study = opened(trials=500, timeout=0.5)
    assert study.run() == 0
    assert 0 < len(trials_of(study)) < 500


# trials that lead nowhere


def too_fast(monkeypatch, size):
    """Networks with a code above `size` diverge."""
    members = Space.members

    def fast(self, params, seeds=None):
        rate = 1e30 if params["code_size"] > size else 1e-3
        return tuple(
            dataclasses.replace(member, learning_rate=rate)
            for member in members(self, params, seeds)
        )

    monkeypatch.setattr(Space, "members", fast)


def test_a_diverged_trial_has_failed_and_is_not_the_best(opened, monkeypatch):
    too_fast(monkeypatch, size=30)
    study = opened(trials=8)
    assert study.run() == 0
    trials = trials_of(study)
    large = trials["code_size"] > 30
    assert large.any()
    assert trials["state"].where(large, "diverged").eq("diverged").all()
    assert trials["state"].where(~large, "complete").eq("complete").all()
    assert trials.loc[large, "val_mse"].isna().all()
    assert trials.loc[large, "error"].str.contains("2 of 2 networks diverged").all()
    assert trials.loc[large, "epochs"].lt(4).all()  # it is not trained to the end
    states = {trial.number: trial.state.name for trial in journal_of(study)}
    assert {states[number] for number in trials.loc[large, "number"]} == {"FAIL"}
    assert study.chosen["code_size"] <= 30


def test_a_search_whose_every_trial_failed_says_so(opened, monkeypatch, capfd):
    too_fast(monkeypatch, size=0)
    study = opened(trials=3)
    assert study.run() == 1
    assert "every trial failed, the first with: 2 of 2 networks diverged" in capfd.readouterr().err
    assert not list((study.folder.path / "models").glob("*.safetensors"))


def test_an_exception_fails_one_trial_and_resume_tries_it_again(opened, monkeypatch):
    def broken(pack, *rest, **options):
        if pack.members[0].model == "dense-32x32":
            raise OSError("disk full")
        return whole(pack, *rest, **options)

    whole = search_trials.run_pack
    with monkeypatch.context() as patch:
        patch.setattr(search_trials, "run_pack", broken)
        study = opened()
        assert study.run() == 0
    assert trials_of(study)["state"].tolist() == ["failed"] + ["complete"] * 4
    assert trials_of(study)["error"].iloc[0] == "OSError: disk full"
    again = opened(resume=True)
    assert again.run() == 0
    assert trials_of(again)["state"].tolist() == ["complete"] * 5


def others(trials, number, epoch):
    """The objective after an epoch of the complete trials before one."""
    before = trials[(trials["number"] < number) & (trials["state"] == "complete")]
    rows = before.itertuples()
    return [dict(zip(row.look_epochs, row.look_values, strict=True))[epoch] for row in rows]


def test_the_median_rule_stops_hopeless_trials(opened, monkeypatch):
    monkeypatch.setattr(search_trials, "LEAST_TRIALS", 3)
    study = opened(trials=12, epochs=8)
    assert study.run() == 0
    trials = trials_of(study)
    pruned = trials["state"] == "pruned"
    assert pruned.any()
    assert not pruned[:3].any()
    for row in trials[pruned].itertuples():
        assert row.epochs == row.look_epochs[-1] < 8
        assert min(row.look_values) > np.median(others(trials, row.number, row.epochs))
    for row in trials[~pruned].itertuples():  # and no other was hopeless
        for i, epoch in enumerate(row.look_epochs, start=1):
            known = others(trials, row.number, epoch)
            assert len(known) < 3 or min(row.look_values[:i]) <= np.median(known)
    assert not list((study.trials.path / "checkpoints").iterdir())


def test_two_objectives_give_a_front_and_stop_no_trial(opened, monkeypatch):
    monkeypatch.setattr(search_trials, "LEAST_TRIALS", 1)
    study = opened(mode="pareto", trials=9, epochs=6)
    assert study.run() == 0
    run = search_of(load_run(study.folder.path))
    assert run.trials["state"].eq("complete").all()
    found = front(run)
    assert found["code_size"].is_monotonic_increasing
    assert found["val_mse"].is_monotonic_decreasing
    for row in (
        run.trials.itertuples()
    ):  # none is better in one and no worse in the other than the whole front
        assert any(
            f.code_size <= row.code_size and f.val_mse <= row.val_mse for f in found.itertuples()
        )
    near = run.trials[run.trials["val_mse"] <= 1.01 * run.trials["val_mse"].min()]
    assert run.config["chosen"]["code_size"] == near["code_size"].min()


def test_all_noise_factors_make_one_pack(opened):
    study = opened(mode="all", trials=2, confirm_seeds=2)
    assert study.run() == 0
    run = search_of(load_run(study.folder.path))
    assert [len(members) for members in run.trials["members"]] == [10, 10]
    first = run.members[run.members["member_id"].isin(list(run.trials["members"].iloc[0]))]
    means = first.groupby("noise_factor")["val_mse"].mean()
    assert means.index.tolist() == [0.1, 0.3, 0.5, 0.7, 1.0]
    assert run.trials["val_mse"].iloc[0] == pytest.approx(np.exp(np.log(means).mean()))


# what is read from a folder


def known_run(sizes=(8, 32, 100), gains=(0.2, 0.0, -0.1), seeds=3, confirm=7, states=None):
    """A search with known numbers: MSE 0.4 + gain + 0.01 seed (+ 0.001 seed^2 at 100)."""
    trials, members = [], []
    for number, (size, gain) in enumerate(zip(sizes, gains, strict=True)):
        ids = []
        for seed in range(confirm):
            value = 0.4 + gain + 0.01 * seed + (0.001 * seed**2 if size == 100 else 0)
            tested = size in (32, 100)
            row = {"member_id": f"{size}-{seed}", "seed": seed, "val_mse": value}
            members.append(row | {"test_mse": value + 0.05 if tested else math.nan})
            ids += [f"{size}-{seed}"] if seed < seeds else []
        mean = float(np.mean([m["val_mse"] for m in members if m["member_id"] in ids]))
        state = "complete" if states is None else states[number]
        row = {"number": number, "state": state, "code_size": size, "members": ids}
        trials.append(row | {"val_mse": mean if state == "complete" else math.nan})
    config = {"search": space(sizes=(2, 100), seeds=seeds).identity(), "data": {"simulated": True}}
    ids = {size: [f"{size}-{seed}" for seed in range(confirm)] for size in sizes}
    config["chosen"] = {"code_size": 100, "members": ids[100], "paper": ids.get(32, [])}
    return SearchRun(None, config, pd.DataFrame(members), pd.DataFrame(trials))


def test_best_so_far():
    table = best_so_far(
        known_run(
            sizes=(100, 8, 32, 101),
            gains=(0.0, -0.2, -0.3, 0.0),
            states=["complete", "diverged", "complete", "pruned"],
        )
    )
    start = 0.4 + 0.01 + 0.005 / 3
    assert table["best"].tolist() == pytest.approx([start, start, 0.11, 0.11])


def test_by_code_size_is_paired_with_the_papers_code():
    table = by_code_size(known_run()).set_index("code_size")
    assert table["val_mse"].to_dict() == pytest.approx({8: 0.61, 32: 0.41, 100: 0.31 + 0.005 / 3})
    assert table["difference"].to_dict() == pytest.approx({8: 0.2, 32: 0.0, 100: -0.1 + 0.005 / 3})
    assert table.loc[8, "difference_low"] == pytest.approx(0.2)  # the same at each seed: no width
    assert table.loc[8, "low"] == pytest.approx(
        0.61 - 4.302653 * 0.01 / 3**0.5
    )  # Student's t of 3 seeds
    assert by_code_size(known_run(sizes=(8, 100), gains=(0.2, -0.1)))["difference"].isna().all()


def test_the_answer_counts_the_seeds_that_did_not_choose():
    found = answer(known_run())
    assert (found.code_size, found.smallest_near, found.at_edge, found.fresh) == (
        100,
        100,
        True,
        True,
    )
    assert found.seeds == (3, 4, 5, 6)
    seeds = np.array([3, 4, 5, 6])
    ratios = (0.4 + 0.01 * seeds) / (0.3 + 0.01 * seeds + 0.001 * seeds**2)
    assert found.gain.effect == pytest.approx(100 * (np.exp(np.log(ratios).mean()) - 1))
    assert found.gain.n == 4
    assert found.gain.low < found.gain.effect < found.gain.high
    assert found.test_mse == pytest.approx(0.3 + 0.03 + 0.001 * 91 / 7 + 0.05)
    assert found.paper_test_mse == pytest.approx(0.4 + 0.03 + 0.05)
    for size, at_edge in ((96, True), (95, False), (3, False), (2, True)):
        run = known_run()
        assert (
            answer(
                dataclasses.replace(
                    run, config=run.config | {"chosen": {**run.config["chosen"], "code_size": size}}
                )
            ).at_edge
            == at_edge
        )
    few = answer(known_run(confirm=3))
    assert (few.fresh, few.seeds) == (False, (0, 1, 2))
    near = known_run(sizes=(32, 60, 100), gains=(0.0, -0.099, -0.1))
    assert answer(near).smallest_near == 60
    assert answer(dataclasses.replace(near, config={**near.config, "chosen": None})) is None


def test_importance_finds_the_parameter_that_matters():
    base = space(tune=("beta",))
    rng = np.random.Generator(np.random.PCG64(0))
    rows = [
        {
            "number": i,
            "state": "complete",
            "code_size": int(2 ** rng.uniform(1, 9)),
            "beta": float(10 ** rng.uniform(-5, -1)),
        }
        for i in range(40)
    ]
    trials = pd.DataFrame(rows)
    trials["val_mse"] = 1 / np.log(trials["code_size"] + 1)
    found = importance(SearchRun(None, {"search": base.identity()}, pd.DataFrame(), trials))
    assert found["parameter"].tolist() == ["code_size", "beta"]
    assert found["importance"].sum() == pytest.approx(1)
    assert found["importance"].iloc[0] > 0.9
    assert importance(
        SearchRun(None, {"search": base.identity()}, pd.DataFrame(), trials[:3])
    ).empty


def test_a_run_without_trials_is_no_search(opened):
    study = opened(trials=1)
    assert study.run() == 0
    (study.folder.path / "trials.parquet").unlink()
    assert search_of(load_run(study.folder.path)) is None


@pytest.mark.slow
def test_on_ray_a_search_finds_the_same_as_in_one_process(opened):
    here = opened("here", trials=3)
    assert here.run() == 0
    there = opened("there", trials=3, local=False, workers=1)
    assert there.run() == 0
    assert_same_trials(here, there)
    for name in ("members", "metrics"):
        tables = [pd.read_parquet(study.folder.path / f"{name}.parquet") for study in (here, there)]
        tables = [table.drop(columns="seconds", errors="ignore") for table in tables]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
