"""One contract for folders and buckets; the lease; what a store's errors say."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from indexer import lease, manifest
from indexer.errors import InputError, LibraryDamagedError, LibraryError, LibraryLockedError
from indexer.lock import has_been_written, holder, is_held, writing
from indexer.manifest import Manifest
from indexer.storage import Bucket, Folder, at
from tests.fakes import make_film, open_library
from tests.object_store import SERVICES


@pytest.fixture(params=["folder", *SERVICES])
def storage(request, tmp_path, address_on):
    return at(tmp_path if request.param == "folder" else address_on(request.param))


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


@pytest.mark.parametrize("other", ["ftp://host/x", "s3://", "s3:///prefix", "abfss://container@account/x"])
def test_other_addresses_are_refused(other):
    with pytest.raises(InputError, match=r"s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://BUCKET/PREFIX"):
        at(other)


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


def test_a_writer_killed_on_this_machine_is_no_hindrance(address):
    child = hold(address)
    try:
        with pytest.raises(LibraryLockedError, match=f"process {child.pid} on .*its lease ends in "):
            writing(address, "vclip index").__enter__()
    finally:
        child.kill()
        child.wait()
    with writing(address, "vclip index"):
        pass


def abandoned(address: str) -> Bucket:
    """A lease whose holder ran on a machine that is gone."""
    bucket = Bucket(address)
    note = {"pid": 1, "host": "gone", "machine": "another", "command": "vclip index", "since_unix": 0}
    bucket.create(lease.NAME, json.dumps(note).encode())
    return bucket


def test_an_abandoned_lease_runs_out(address, monkeypatch):
    abandoned(address)
    with pytest.raises(LibraryLockedError, match="on gone"):
        writing(address, "x").__enter__()
    usual = lease.LEASE_SECONDS
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1.0)
    time.sleep(2.1)  # the store's times are whole seconds
    with writing(address, "x"):
        monkeypatch.setattr(lease, "LEASE_SECONDS", usual)  # a busy machine takes more than a second to look
        assert is_held(address)


def test_a_lease_is_renewed(address, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    with writing(address, "x"):
        tag = Bucket(address).look(lease.NAME).tag
        time.sleep(2.6)
        assert Bucket(address).look(lease.NAME).tag != tag
        with pytest.raises(LibraryLockedError):
            writing(address, "y").__enter__()


def test_a_writer_whose_lease_was_taken_writes_no_more(address, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    bucket = Bucket(address)
    with writing(bucket, "x"):
        bucket.write("a", b"1")
        bucket._objects.put(lease.NAME, b'{"pid": 2}')  # as the next writer does
        time.sleep(1.2)  # more than 2 s / 4, less than 0.9 × 2 s
        with pytest.raises(LibraryLockedError, match="the write lease was lost"):
            bucket.write("a", b"2")
    assert Bucket(address).read("a") == b"1"
    assert Bucket(address).read(lease.NAME) == b'{"pid": 2}'  # and its lease is left alone


def test_of_two_who_saw_the_same_lease_one_wins(address):
    bucket = abandoned(address)
    seen = bucket.look(lease.NAME)
    assert bucket.replace(lease.NAME, b"1", seen.tag) is not None
    assert bucket.replace(lease.NAME, b"2", seen.tag) is None
    assert bucket.create(lease.NAME, b"3") is None
    assert bucket.read(lease.NAME) == b"1"


def test_a_store_without_conditional_writes_is_refused(address, monkeypatch):
    put = Bucket._put
    monkeypatch.setattr(Bucket, "_put", lambda self, name, data, mode: put(self, name, data, "overwrite"))
    with pytest.raises(LibraryError, match="does not honour conditional writes"):
        writing(address, "x").__enter__()


# ---- what goes wrong is one clear line


@pytest.fixture
def changed(monkeypatch):
    """Change variables of the environment."""

    def change(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return change


def test_a_missing_bucket(address):
    elsewhere = f"{address.partition(':')[0]}://nowhere-to-be-found/x"
    with pytest.raises(LibraryError, match=f"{elsewhere}: there is no such bucket. Make it first"):
        manifest.load(elsewhere)
    with pytest.raises(LibraryError, match="there is no such bucket"):
        Bucket(elsewhere).write("a", b"1")


def test_wrong_credentials(address, service, changed):
    changed(service.wrong)
    with pytest.raises(LibraryError, match=rf"{address}: the credentials are wrong\. Check [A-Z]+_"):
        manifest.load(address)
    with pytest.raises(LibraryError, match="the credentials are wrong"):
        Bucket(address).write("a", b"1")


def test_an_endpoint_that_does_not_answer(address, service, changed, monkeypatch):
    changed(service.nobody)
    monkeypatch.setattr("indexer.storage.RETRY_SECONDS", 1)
    with pytest.raises(LibraryError, match="the store cannot be reached"):
        manifest.load(address)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AZURE_STORAGE_ACCOUNT_NAME": ""}, "no credentials were found. Set AZURE_STORAGE_ACCOUNT_NAME and "),
        ({"AZURE_STORAGE_ACCOUNT_KEY": "no base64"}, "the credentials are wrong. Check AZURE_STORAGE_ACCOUNT"),
    ],
)
def test_settings_of_azure_that_cannot_be(address_on, changed, monkeypatch, variables, says):
    address = address_on("az")
    changed(variables)
    for name in [name for name, value in variables.items() if not value]:
        monkeypatch.delenv(name)
    with pytest.raises(LibraryError, match=f"{address}: {says}"):
        manifest.load(address)


def test_an_account_file_that_is_not_there_is_named(address_on, monkeypatch):
    address = address_on("gs")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", "/nowhere/account.json")
    with pytest.raises(LibraryError, match=f"{address} cannot be used: .*/nowhere/account.json"):
        manifest.load(address)


def test_application_default_credentials(address_on, tmp_path, monkeypatch):
    address = address_on("gs")
    account = json.loads(Path(os.environ["GOOGLE_SERVICE_ACCOUNT"]).read_text())
    monkeypatch.setenv("GOOGLE_BASE_URL", account.pop("gcs_base_url"))  # Google's own, for everybody else
    monkeypatch.delenv("GOOGLE_SERVICE_ACCOUNT")
    (tmp_path / "default.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "default.json"))
    open_library(address).index([make_film(tmp_path / "a.mp4", [("red", 1)])])
    assert len(open_library(address).videos()) == 1


@pytest.mark.parametrize(
    ("scheme", "answer", "says"),
    [
        ("s3", "status code: 403 Forbidden: <Code>AccessDenied</Code>", "access is denied"),
        ("s3", "403 Forbidden: <Code>InvalidAccessKeyId</Code>", "the credentials are wrong. Check AWS_ACCESS_"),
        ("s3", "PUT http://169.254.169.254/latest/api/token in 1s", "no credentials were found. Set AWS_ACCESS_"),
        ("s3", "redirect without LOCATION: 301 Moved Permanently", "the bucket is in another region"),
        ("gs", "GET http://metadata.google.internal/computeMetadata", "no credentials were found. Set GOOGLE_"),
        ("az", "GET http://169.254.169.254/metadata/identity", "no credentials were found. Set AZURE_"),
        ("az", "403 Forbidden: <Code>AuthorizationPermissionMismatch</Code>", "access is denied"),
    ],
)
def test_answers_of_other_stores(address_on, scheme, answer, says):
    from obstore.exceptions import GenericError

    with pytest.raises(LibraryError, match=says), Bucket(address_on(scheme))._asking():
        raise GenericError(answer)


def test_only_what_a_store_says_is_taken_for_its_failure(s3):
    assert Bucket(s3).failure(RuntimeError("the hub timed out")) is None
    text = "lance error: Generic S3 error: Error performing GET http://x in 1s - HTTP error: timed out"
    assert "cannot be reached" in str(Bucket(s3).failure(RuntimeError(text)))


@pytest.mark.parametrize(
    ("number", "kind", "says"),
    [
        (errno.ENOSPC, LibraryError, "no space is left on its drive. Mend that, then run it again"),
        (errno.EIO, LibraryDamagedError, "its drive reports an error. Mend that. .*vclip repair"),
        (errno.ENOENT, None, ""),
    ],
)
def test_what_a_drive_reports_is_said(tmp_path, number, kind, says):
    """As Python raises it, and as Rust says it."""
    for error in (OSError(number, "x"), RuntimeError(f"lance error: {os.strerror(number)} (os error {number})")):
        found = Folder(tmp_path).failure(error)
        assert type(found) is (kind or type(None))
        assert kind is None or re.search(f"^{tmp_path}: {says}", str(found))
