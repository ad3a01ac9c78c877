"""GTEx by name: fetched once, stored whole as landmark genes with tissue, site and donor."""

import gzip
import hashlib
import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from data_utils.download import alone
from data_utils.errors import InputError
from data_utils.genes import landmark_table
from data_utils.gtex import (
    RELEASES,
    addresses,
    cached_release,
    donor_of,
    open_release,
    read_attributes,
)
from data_utils.sources import load_dataset
from tests import gtex
from tests.web import closed_port

V8 = "gtex-v8"


@pytest.fixture
def release(monkeypatch, tmp_path):
    with gtex.served_release(monkeypatch, tmp_path / "cache") as release:
        yield release


def left(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refused(*words):
    with pytest.raises(InputError) as error:
        open_release(V8)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_release_becomes_a_dataset(release):
    data = load_dataset(V8)
    order = {sample: i for i, sample in enumerate(gtex.sample_ids())}
    expected = np.log2(
        gtex.values()[: gtex.N_LANDMARKS].astype(np.float32).T.astype(np.float64) + 1
    )
    np.testing.assert_allclose(data.matrix.values, expected, rtol=2e-7)
    assert (
        data.matrix.gene_ids.tolist() == landmark_table()["ensembl_id"][: gtex.N_LANDMARKS].tolist()
    )
    assert (data.source, data.transform, data.genes_matched, data.group) == (
        V8,
        "log2p1",
        60,
        "donor",
    )
    labels = data.matrix.sample_labels
    assert list(labels.columns) == ["tissue", "site", "donor"]
    assert labels.iloc[1].tolist() == ["Brain", "Brain - Cerebellum", "GTEX-11AB0"]
    assert labels.iloc[-1].tolist() == ["", "", "GTEX-24AB3"]
    assert labels["donor"].nunique() == gtex.N_DONORS
    packed = release.site.files[release.path]
    assert (data.file_size, data.file_sha256) == (len(packed), hashlib.sha256(packed).hexdigest())
    assert data.origin["expression"]["url"] == release.site.url + release.path
    assert (data.origin["unit"], data.origin["attributes"]["size"]) == (
        "TPM",
        len(gtex.attributes()),
    )
    assert len(order) == data.matrix.n_samples


def test_it_is_fetched_once_and_the_download_is_not_kept(release):
    first = load_dataset(V8)
    assert left(release.folder) == [".lock", "expression.parquet", "source.json"]
    requests = len(release.site.requests)
    assert requests == 2
    again = load_dataset(V8)
    assert len(release.site.requests) == requests
    assert again.matrix.content_hash() == first.matrix.content_hash()
    assert again.origin == first.origin
    record = json.loads((release.folder / "source.json").read_text())
    assert (record["samples"], record["genes"]) == (len(gtex.sample_ids()), gtex.N_LANDMARKS)
    assert (
        record["table_sha256"]
        == hashlib.sha256((release.folder / "expression.parquet").read_bytes()).hexdigest()
    )


@pytest.mark.parametrize("name", ["expression.parquet", "source.json"])
def test_a_damaged_cache_is_noticed_and_fetched_again(name, release):
    first = load_dataset(V8).matrix.content_hash()
    path = release.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if name.endswith("parquet") else 0] ^= 4
    path.write_bytes(bytes(content))
    assert cached_release(V8) is None
    assert load_dataset(V8).matrix.content_hash() == first
    assert len(release.site.requests) == 4


def test_a_cut_connection_is_resumed(release):
    release.site.faults[release.path] = [("cut", 5000)]
    assert load_dataset(V8).matrix.n_genes == gtex.N_LANDMARKS
    assert [r.range for r in release.site.asked(release.path)] == [None, "bytes=5000-"]


def test_the_checksum_of_the_real_file_is_asked_for(release, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("DAE_STUDY_CACHE", str(release.folder.parent))
    monkeypatch.setenv("DAE_STUDY_GTEX_MIRROR", release.site.url)
    monkeypatch.setenv("no_proxy", "*")
    refused("SampleAttributesDS.txt", "sha256", "74f6ab4c34ed2648")
    assert left(release.folder) == [".lock"]


def test_a_damaged_archive_is_not_kept(release):
    packed = release.site.files[release.path]
    release.site.files[release.path] = packed[: len(packed) // 2]
    refused("gene_tpm.gct.gz", "end-of-stream", "get it again")
    assert cached_release(V8) is None
    assert not list(release.folder.glob("download/*gct.gz"))
    release.site.files[release.path] = packed
    assert load_dataset(V8).matrix.n_genes == gtex.N_LANDMARKS


def test_a_web_page_in_place_of_the_file(release):
    release.site.files[release.path] = b"<html>Please sign in</html>"
    refused(release.path, "is a web page")
    assert cached_release(V8) is None


def test_attributes_that_are_none(release):
    release.site.files[release.labels_path] = b"id\tage\n1\t60\n"
    refused("has no column SAMPID", "'id")
    release.site.files[release.labels_path] = b"SAMPID\tSMTS\tSMTSD\nGTEX-1-2\tLiver\tLiver\n"
    refused("none of its samples")


def test_no_network_says_what_to_get_and_where_to_put_it_and_that_works(release, monkeypatch):
    files = release.site.files
    monkeypatch.setenv("DAE_STUDY_GTEX_MIRROR", closed_port())
    urls = [addresses(getattr(RELEASES[V8], file))[0] for file in ("attributes", "expression")]
    refused(*urls, "cannot be reached", f"by hand and put them into {release.folder}")
    (release.folder / Path(release.path).name).write_bytes(files[release.path])
    (release.folder / Path(release.labels_path).name).write_bytes(files[release.labels_path])
    data = load_dataset(V8)
    assert data.matrix.n_genes == gtex.N_LANDMARKS
    assert data.origin["expression"]["url"] is None
    assert {Path(release.path).name, Path(release.labels_path).name} <= set(left(release.folder))
    assert not release.site.requests


def test_an_unpacked_file_put_there_by_hand(release):
    release.folder.mkdir(parents=True)
    (release.folder / Path(release.path).name.removesuffix(".gz")).write_bytes(gtex.gct())
    assert load_dataset(V8).matrix.n_genes == gtex.N_LANDMARKS
    assert [r.path for r in release.site.requests] == [release.labels_path]


def test_a_wrong_file_put_there_by_hand_is_refused_and_left_alone(release, monkeypatch):
    release.folder.mkdir(parents=True)
    path = release.folder / Path(release.path).name
    path.write_bytes(gzip.compress(b"#1.2\n1\t1\nName\tDescription\ts\ng\tg\t1\n"))
    refused(f"{path}: 0 of 943 landmark genes")
    assert path.exists()


@pytest.mark.parametrize("name", RELEASES)
def test_addresses_in_turn(name, monkeypatch):
    file = RELEASES[name].expression
    assert addresses(file)[0].startswith("https://storage.googleapis.com/")
    assert all(url.endswith("gct.gz") for url in addresses(file))
    monkeypatch.setenv("DAE_STUDY_GTEX_MIRROR", "http://mirror:8000/gtex/")
    assert addresses(file) == [
        f"http://mirror:8000/gtex/{path}" for path in file.paths[: len(addresses(file))]
    ]


def test_v4_is_found_at_its_older_name(monkeypatch, tmp_path):
    with gtex.served_release(monkeypatch, tmp_path, "gtex-v4") as release:
        older = RELEASES["gtex-v4"].expression.paths[1]
        release.site.files[f"/{older}"] = release.site.files.pop(release.path)
        data = load_dataset("gtex-v4")
        assert data.origin["expression"]["url"] == f"{release.site.url}/{older}"
        assert (data.origin["unit"], data.transform) == ("RPKM", "log2p1")


def test_all_genes_is_refused_with_the_way_out(release):
    with pytest.raises(
        InputError, match=rf"--all-genes: of gtex-v8 .*{release.path} by hand .* --data"
    ):
        load_dataset(V8, all_genes=True)
    assert not release.site.requests


def test_an_unknown_release_lists_those_there_are():
    with pytest.raises(
        InputError, match=r"gtex-v9: no such file.*gtex-v4, gtex-v6p, gtex-v8, gtex-v10"
    ):
        load_dataset("gtex-v9")


def test_a_file_of_that_name_can_be_given_as_a_path(release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"{tmp_path}/gtex-v8: no such file"):
        load_dataset("./gtex-v8")


def _open(queue, begin):
    RELEASES[V8] = gtex.unchecked(RELEASES[V8])
    begin.wait(60)
    queue.put(cached_release(V8) is None)
    open_release(V8)
    queue.put(hashlib.sha256(cached_release(V8).path.read_bytes()).hexdigest())


def test_two_processes_fetch_it_once(release):
    context = multiprocessing.get_context("spawn")
    queue, begin = context.Queue(), context.Event()
    processes = [context.Process(target=_open, args=(queue, begin)) for _ in range(2)]
    for process in processes:
        process.start()
    with alone(release.folder, ""):
        begin.set()
        found = [queue.get(timeout=60) for _ in range(2)]
    found += [queue.get(timeout=60) for _ in range(2)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert found[:2] == [True, True]
    assert found[2] == found[3]
    assert len(release.site.asked(release.labels_path)) == 1
    assert len(release.site.asked(release.path)) == 1


def test_a_cache_that_cannot_be_written(release, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DAE_STUDY_CACHE", str(tmp_path / "file"))
    refused(f"{tmp_path}/file/gtex-v8: cannot be written (Not a directory)", "DAE_STUDY_CACHE")


def test_donor_of_a_sample():
    assert donor_of("GTEX-1117F-0226-SM-5GZZ7") == "GTEX-1117F"
    assert donor_of("K-562-SM-2AXVE") == "K-562"


def test_attributes_are_texts(tmp_path):
    (tmp_path / "a.txt").write_bytes(gtex.attributes())
    labels = read_attributes(tmp_path / "a.txt")
    assert labels.shape == (len(gtex.sample_ids()), 2)
    assert labels.loc["GTEX-ZZZZ-0001-SM-1"].tolist() == list(
        gtex.TISSUES[(len(gtex.sample_ids()) - 1) % 3]
    )
