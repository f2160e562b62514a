"""Fixtures that several files share."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from tests import media
from tests.object_store import BUCKET, SERVICES, Service

_NUMBERS = itertools.count()

# No test is timed: on a busy machine every example may take long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def services() -> Iterator[Callable[[str], Service]]:
    """The running object store of a scheme: each is started once, when it is first asked for."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def running(scheme: str) -> Service:
            return stack.enter_context(SERVICES[scheme]())

        yield running


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Callable[[str], media.MadeVideo]:
    """Test videos by the name of their recipe: each is made once, and no test may change it."""

    @functools.cache
    def make(name: str) -> media.MadeVideo:
        if not media.can_encode(media.encoder_of(name)):
            pytest.skip(f"this build of PyAV has no encoder {media.encoder_of(name)}")
        return media.make_named(name, tmp_path_factory.mktemp("videos"))

    return make


@pytest.fixture
def address_on(services, monkeypatch, tmp_path) -> Callable[[str], str]:
    """The address of an empty prefix on a store; the environment leads there, this machine's cache is empty."""

    def empty_prefix(scheme: str) -> str:
        try:
            service = services(scheme)
        except RuntimeError as error:
            pytest.skip(str(error))
        for name, value in {**service.environment, "XDG_CACHE_HOME": str(tmp_path / "cache")}.items():
            monkeypatch.setenv(name, value)
        return f"{scheme}://{BUCKET}/{next(_NUMBERS)}"

    return empty_prefix


@pytest.fixture
def s3(address_on) -> str:
    """An empty prefix on Amazon's."""
    return address_on("s3")


@pytest.fixture(params=list(SERVICES))
def address(request, address_on) -> str:
    """An empty prefix on each of the stores."""
    return address_on(request.param)


@pytest.fixture
def service(address, services) -> Service:
    """The store that ``address`` lies on."""
    return services(address.partition(":")[0])
