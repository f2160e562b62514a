"""Everything that the OpenAPI page allows, and much that it does not, asked of a running server."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.fakes import make_film, open_library
from tests.page_site import index, serving

#: Requests made up for each operation.
CASES = int(os.environ.get("VCLIPPER_SCHEMA_CASES", "15"))
#: A path made up at random may be a folder of this machine, such as "/": index runs have tests of their own.
LEFT_OUT = ("POST", "/api/v1/index")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    make_film(folder / "films" / "a.mp4", [("red", 4), ("blue", 4)])
    return index(folder / "films", folder / "lib")


@pytest.mark.slow
@pytest.mark.timeout(280)
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_no_request_is_a_server_error_and_every_answer_is_as_described(library, mode):
    schemathesis = pytest.importorskip("schemathesis", reason="not installed: pip install '.[dev]'")
    checks = [schemathesis.checks.not_a_server_error, schemathesis.checks.response_schema_conformance]
    video_id = str(open_library(library).videos()[0].video_id)
    asked = []

    def ask(case):
        if mode == "POSITIVE" and "video_id" in case.path_parameters:
            case.path_parameters["video_id"] = video_id  # a made-up one is hardly ever there
        answer = case.call(headers={"X-VClip": "1"}, timeout=60)
        case.validate_response(answer, checks=checks)
        asked.append(case.operation.path)

    with serving(library) as site:
        schema = schemathesis.openapi.from_url(f"{site.address}api/v1/openapi.json")
        operations = [found.ok() for found in schema.get_all_operations()]
        for operation in operations:
            if (operation.method.upper(), operation.path) != LEFT_OUT:
                made_up = operation.as_strategy(generation_mode=schemathesis.GenerationMode[mode])
                with contextlib.suppress(Unsatisfiable):  # nothing is wrong where nothing is asked
                    for_each(made_up, ask)
    assert {"/api/v1/search", "/api/v1/export", "/api/v1/videos/{video_id}/thumbnail"} <= set(asked)
    print(f"{len(asked)} requests, {len(set(asked))} of {len({one.path for one in operations})} paths")


def for_each(cases, ask) -> None:
    """Ask CASES of them, the same ones each time."""
    checked = given(cases)(ask)
    settings(
        max_examples=CASES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(checked)()
