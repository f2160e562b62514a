"""Fixtures that several files share."""

from __future__ import annotations

import itertools

import pytest

from tests.object_store import KEYS, make_bucket, s3_server

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def s3_endpoint():
    """A running S3 server with the bucket ``films``."""
    with s3_server() as endpoint:
        make_bucket(endpoint, "films")
        yield endpoint


@pytest.fixture
def s3(s3_endpoint, monkeypatch, tmp_path):
    """The address of an empty prefix on it; the environment leads there, this machine's cache is empty."""
    for name, value in {
        **KEYS,
        "AWS_ENDPOINT_URL": s3_endpoint,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://films/{next(_NUMBERS)}"
