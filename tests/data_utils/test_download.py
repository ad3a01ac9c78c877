"""A download gives the whole file, whatever happens on the way, or a one-line error."""

import base64
import errno
import gzip
import hashlib
import os
import shutil
import socket
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from data_utils.download import cache_folder, download
from data_utils.errors import InputError
from tests.web import closed_port, served

CONTENT = gzip.compress(np.random.default_rng(0).bytes(300_000), 1, mtime=0)
SIZE = len(CONTENT)
HAND = "get it by hand and put it into /there"
NAME = "x.gct.gz"


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with served(**{NAME: CONTENT}) as site:
        yield site


@pytest.fixture
def fetch(site, tmp_path, monkeypatch):
    """A function that downloads, by default the file of the site, without waiting between tries."""

    def fetch(urls=None, sha256=None, waits=(0.0, 0.0)):
        monkeypatch.setattr("data_utils.download.WAITS", waits)
        return download(urls or [f"{site.url}/{NAME}"], tmp_path / NAME, HAND, sha256)

    return fetch


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(fetch, *words, **options):
    with pytest.raises(InputError) as error:
        fetch(**options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_a_whole_file(site, fetch, tmp_path, capsys):
    found = fetch(sha256=hashlib.sha256(CONTENT).hexdigest())
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert (found.url, found.size) == (f"{site.url}/{NAME}", SIZE)
    assert found.sha256 == hashlib.sha256(CONTENT).hexdigest()
    lines = [f"fetching {NAME}: {done:,.1f} of 0.3 MB\n" for done in (0, 0.3)]
    assert capsys.readouterr().err == "".join(lines)
    assert left(tmp_path) == [NAME, f"{NAME}.json"]
    assert fetch() == found
    assert len(site.requests) == 1


def test_a_cut_connection_goes_on_where_it_broke(site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 70_000), ("cut", 100_000)]
    fetch(waits=(0.0,))
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [r.range for r in site.requests] == [None, "bytes=70000-", "bytes=170000-"]
    assert [r.status for r in site.requests] == [200, 206, 206]
    assert sum(r.sent for r in site.requests) == SIZE
    assert site.requests[1].if_range == f'"{hashlib.sha256(CONTENT).hexdigest()[:8]}"'


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 50_000), ("status", 503), ("status", 503)]
    refused(fetch, "503", "try again later", HAND)
    assert left(tmp_path) == [f"{NAME}.json", f"{NAME}.part"]
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:50_000]
    before = len(site.requests)
    fetch()
    [request] = site.requests[before:]
    assert (request.range, request.status, request.sent) == ("bytes=50000-", 206, SIZE - 50_000)
    assert (tmp_path / NAME).read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["whole", "chunked"])
def test_a_server_that_ignores_range_is_read_from_the_start(fault, site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 50_000), (fault, None)]
    if fault == "chunked":
        site.faults[f"/{NAME}"][0] = ("weak", None)
        (tmp_path / f"{NAME}.part").write_bytes(b"an older program's")
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert site.requests[-1].status == 200


def test_a_file_that_changed_meanwhile_is_fetched_anew(site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 50_000)] + 2 * [("status", 503)]
    refused(fetch, "503")
    site.files[f"/{NAME}"] = other = gzip.compress(b"another one" * 9000, 0)
    fetch()
    assert (tmp_path / NAME).read_bytes() == other
    assert (site.requests[-1].range, site.requests[-1].status) == ("bytes=50000-", 200)


def test_a_stale_part_that_is_longer_than_the_file_is_dropped(site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 50_000)] + 2 * [("status", 503)]
    refused(fetch, "503")
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert site.requests[-1].range is None


def test_a_part_of_another_address_or_unknown_does_not_count(site, fetch, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"\x1f\x8b of something else")
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert site.requests[0].range is None


def test_a_part_that_is_whole_is_not_fetched_again(site, fetch, tmp_path):
    fetch()
    (tmp_path / NAME).rename(tmp_path / f"{NAME}.part")  # as if killed before the renaming
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_another_part_than_was_asked_for_is_not_used(site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 50_000), ("shifted", None)]
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_redirects_are_followed_and_keep_the_range(site, fetch, tmp_path):
    site.faults["/moved"] = [("redirect", f"{site.url}/{NAME}")] * 2
    site.faults[f"/{NAME}"] = [("cut", 50_000)]
    found = fetch([f"{site.url}/moved"])
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [r.range for r in site.asked(f"/{NAME}")] == [None, "bytes=50000-"]
    assert found.url == f"{site.url}/moved"


def test_a_circle_of_redirects_ends(site, fetch, tmp_path):
    site.faults["/moved"] = [("redirect", f"{site.url}/moved")] * 20
    refused(fetch, "302", HAND, urls=[f"{site.url}/moved"])
    assert left(tmp_path) == []


def test_the_next_address_is_tried_where_one_is_gone(site, fetch, tmp_path):
    found = fetch([f"{site.url}/old", f"{site.url}/older", f"{site.url}/{NAME}"])
    assert found.url == f"{site.url}/{NAME}"
    assert [r.status for r in site.requests] == [404, 404, 200]


def test_no_address_has_it(site, fetch, tmp_path):
    refused(
        fetch,
        f"{site.url}/old (404 Not Found)",
        f"{site.url}/older (404",
        HAND,
        urls=[f"{site.url}/{n}" for n in ("old", "older")],
    )
    assert left(tmp_path) == []


def test_no_network_is_said_at_once(fetch, tmp_path):
    url = f"{closed_port()}/{NAME}"
    refused(
        fetch, url, "cannot be reached (", "Connection refused", HAND, urls=[url], waits=(60.0,)
    )
    assert left(tmp_path) == []


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(fetch, tmp_path, monkeypatch):
    monkeypatch.setattr("data_utils.download.TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{NAME}"
        refused(fetch, url, "timed out", "try again later", HAND, urls=[url])
    assert left(tmp_path) == []


def test_a_passing_fault_is_waited_for(site, fetch):
    site.faults[f"/{NAME}"] = [("status", 500), ("status", 429)]
    fetch()
    assert [r.status for r in site.requests] == [500, 429, 200]


def test_a_connection_that_always_breaks_at_one_place_ends(site, fetch, tmp_path):
    site.faults[f"/{NAME}"] = [("cut", 0)] * 9
    refused(fetch, "the server sent nothing", HAND)
    assert len(site.requests) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>Sign in</html>", "is a web page"),
        (b"\n <html>", "is a web page"),
        (b"#1.2\n3\t4\n", "is not gzip data"),
        (CONTENT[:-1] + b"?", "sha256"),
    ],
)
def test_wrong_bytes_are_not_kept(content, words, site, fetch, tmp_path):
    site.files[f"/{NAME}"] = content
    refused(
        fetch,
        f"{site.url}/{NAME}",
        words,
        "--data PATH",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )
    assert left(tmp_path) == []
    site.files[f"/{NAME}"] = CONTENT
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_the_servers_own_checksum_counts(site, fetch, tmp_path):
    def says(content, **more):
        md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
        site.headers[f"/{NAME}"] = {"X-Goog-Hash": f"crc32c=AAAAAA==,md5={md5}", **more}

    says(b"other")
    refused(fetch, "arrived damaged")
    assert left(tmp_path) == []
    says(
        b"other", **{"X-Goog-Stored-Content-Encoding": "gzip"}
    )  # of what is stored, which is not what was sent
    fetch()
    (tmp_path / NAME).unlink()
    says(CONTENT)
    fetch()
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_full_disk_is_said_before_anything_is_written(site, fetch, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 10**6, 100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    refused(fetch, f"{tmp_path}: the disk is full (0.2 MB more are needed)", "DAE_STUDY_CACHE")
    assert left(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_fills_up_is_said(fetch, tmp_path):
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    refused(fetch, f"{tmp_path}: the disk is full: make room")
    assert not (tmp_path / NAME).exists()


def test_a_folder_that_cannot_be_written_is_said(fetch, tmp_path):
    (tmp_path / f"{NAME}.part").mkdir()
    refused(
        fetch,
        f"{tmp_path / NAME}.part: cannot be written ({os.strerror(errno.EISDIR)})",
        "DAE_STUDY_CACHE",
    )


def test_the_cache_folder(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DAE_STUDY_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/dae-study")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder() == Path("/home/me/.cache/dae-study")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder() == Path("/home/me/Library/Caches/dae-study")
    monkeypatch.setenv("DAE_STUDY_CACHE", "~/elsewhere")
    assert cache_folder() == Path("/home/me/elsewhere")
