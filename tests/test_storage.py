"""One contract for folders and buckets; the lease; what a store's errors say."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from indexer import lease, manifest
from indexer.errors import InputError, LibraryError, LibraryLockedError
from indexer.lock import has_been_written, holder, is_held, writing
from indexer.manifest import Manifest
from indexer.storage import Bucket, Folder, at
from tests.object_store import free_port


@pytest.fixture(params=["folder", "bucket"])
def storage(request, tmp_path):
    return at(tmp_path if request.param == "folder" else request.getfixturevalue("s3"))


# ---- the contract


def test_what_is_written_is_read(storage):
    assert storage.is_empty()
    storage.write("a.json", b"1")
    storage.write("a.json", b"22")
    assert storage.read("a.json") == b"22"
    assert (storage.exists("a.json"), storage.exists("b.json")) == (True, False)
    assert not storage.is_empty()
    assert storage.size_bytes() == 2
    with pytest.raises(FileNotFoundError):
        storage.read("b.json")


def test_a_manifest_lives_in_both(storage):
    with pytest.raises(LibraryError, match=f"no library at {storage}"):
        manifest.load(storage)
    made = Manifest("m", "", 7, 2.0)
    manifest.save(made, storage)
    assert manifest.exists(storage)
    assert manifest.load(storage) == made


def test_one_writer_at_a_time_who_is_named(storage):
    assert not has_been_written(storage)
    with writing(storage, "vclip index"):
        assert is_held(storage)
        with pytest.raises(LibraryLockedError, match=f"`vclip index` .process {os.getpid()} on "):
            writing(storage, "vclip remove").__enter__()
        assert "`vclip index`" in holder(storage)
    assert not is_held(storage)
    assert has_been_written(storage)
    with writing(storage, "vclip remove"):
        assert "`vclip remove`" in holder(storage)


def test_a_storage_crosses_processes(storage):
    storage.write("a", b"1")
    assert pickle.loads(pickle.dumps(storage)).read("a") == b"1"


# ---- addresses


def test_addresses(s3, tmp_path, monkeypatch):
    assert isinstance(at(s3), Bucket)
    assert str(at(f"{s3}/")) == s3
    assert at(tmp_path).tables == str(tmp_path / "tables")
    assert at(s3).tables == f"{s3}/tables"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(at("~/lib")) == str(tmp_path / "lib")
    assert isinstance(at(at(tmp_path)), Folder)


@pytest.mark.parametrize("address", ["ftp://host/x", "s3://", "s3:///prefix"])
def test_other_addresses_are_refused(address):
    with pytest.raises(InputError, match=r"s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://BUCKET/PREFIX"):
        at(address)


def test_obstore_missing_is_said(s3, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(LibraryError, match=r"pip install 'vclipper\[cloud\]'"):
        at(s3)


# ---- the lease


HOLD = """
import sys, time
from indexer.lock import writing
with writing(sys.argv[1], "vclip index"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(where: str) -> subprocess.Popen:
    """Another process that holds the lease."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, where],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_writer_killed_on_this_machine_is_no_hindrance(s3):
    child = hold(s3)
    try:
        with pytest.raises(LibraryLockedError, match=f"process {child.pid} on .*its lease ends in "):
            writing(s3, "vclip index").__enter__()
    finally:
        child.kill()
        child.wait()
    with writing(s3, "vclip index"):
        pass


def abandoned(s3: str) -> Bucket:
    """A lease whose holder ran on a machine that is gone."""
    bucket = Bucket(s3)
    note = {"pid": 1, "host": "gone", "machine": "another", "command": "vclip index", "since_unix": 0}
    bucket.create(lease.NAME, json.dumps(note).encode())
    return bucket


def test_an_abandoned_lease_runs_out(s3, monkeypatch):
    abandoned(s3)
    with pytest.raises(LibraryLockedError, match="on gone"):
        writing(s3, "x").__enter__()
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    time.sleep(2.1)  # the store's times are whole seconds
    with writing(s3, "x"):
        assert is_held(s3)


def test_a_lease_is_renewed(s3, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    with writing(s3, "x"):
        tag = Bucket(s3).look(lease.NAME).tag
        time.sleep(3.5)
        assert Bucket(s3).look(lease.NAME).tag != tag
        with pytest.raises(LibraryLockedError):
            writing(s3, "y").__enter__()


def test_a_writer_whose_lease_was_taken_writes_no_more(s3, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    bucket = Bucket(s3)
    with writing(bucket, "x"):
        bucket.write("a", b"1")
        bucket._objects.put(lease.NAME, b'{"pid": 2}')  # as the next writer does
        time.sleep(0.6)
        with pytest.raises(LibraryLockedError, match="the write lease was lost"):
            bucket.write("a", b"2")
    assert Bucket(s3).read("a") == b"1"
    assert Bucket(s3).read(lease.NAME) == b'{"pid": 2}'  # and its lease is left alone


def test_of_two_who_saw_the_same_lease_one_wins(s3):
    bucket = abandoned(s3)
    seen = bucket.look(lease.NAME)
    assert bucket.replace(lease.NAME, b"1", seen.tag) is not None
    assert bucket.replace(lease.NAME, b"2", seen.tag) is None
    assert bucket.create(lease.NAME, b"3") is None
    assert bucket.read(lease.NAME) == b"1"


def test_a_store_without_conditional_writes_is_refused(s3, monkeypatch):
    put = Bucket._put
    monkeypatch.setattr(Bucket, "_put", lambda self, name, data, mode: put(self, name, data, "overwrite"))
    with pytest.raises(LibraryError, match="does not honour conditional writes"):
        writing(s3, "x").__enter__()


# ---- what goes wrong is one clear line


def test_a_missing_bucket(s3):
    with pytest.raises(LibraryError, match=r"s3://nowhere-to-be-found/x: there is no such bucket"):
        manifest.load("s3://nowhere-to-be-found/x")


def test_an_endpoint_that_does_not_answer(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 1)
    with pytest.raises(LibraryError, match="the store cannot be reached"):
        manifest.load(s3)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>", "access is denied"),
        ("403 Forbidden: <Code>InvalidAccessKeyId</Code>", "the credentials are wrong"),
        ("Error performing PUT http://169.254.169.254/latest/api/token in 1s", "no credentials were found"),
        ("Received redirect without LOCATION: 301 Moved Permanently", "the bucket is in another region"),
    ],
)
def test_answers_of_other_stores(s3, answer, says):
    from obstore.exceptions import GenericError

    with pytest.raises(LibraryError, match=says), Bucket(s3)._asking():
        raise GenericError(answer)
