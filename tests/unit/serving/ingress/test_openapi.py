"""The description of the HTTP door is true: fuzzed along it, the door answers as it says.

schemathesis makes requests of what `/openapi.json` describes, and others that break it. An answer
whose status, content type or body is not described fails, as does any 5xx but 503.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from serving.errors import RefusalReason
from serving.http.limits import Limits
from serving.ingress.access import DoorConfig
from support.open_door import TASKS, Served, serve_node

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TOKEN = "a token of 16 signs or more"
PATHS = (
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/callers",
    "/v2/models/stats",
    "/v2/models/{model}",
    "/v2/models/{model}/ready",
    "/v2/models/{model}/stats",
    "/v2/models/{model}/infer",
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serve_node(DoorConfig(limits=Limits(body_s=2.0))) as door:
        yield door


CASES = [(path, schemathesis.GenerationMode.POSITIVE) for path in PATHS] + [
    # A path without parameters leaves nothing to break.
    (path, schemathesis.GenerationMode.NEGATIVE)
    for path in PATHS
    if "{" in path
]


@pytest.mark.parametrize(("path", "mode"), CASES)
def test_the_door_answers_as_it_is_described(
    served: Served, path: str, mode: schemathesis.GenerationMode
) -> None:
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    found = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    operation = next(one for one in found if one.path == path)
    asks = operation.as_strategy(generation_mode=mode)
    examples = 60 if path.endswith("infer") else 4
    statuses: set[int] = set()

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate],
    )  # fmt: skip
    @given(case=asks)
    def ask(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=served.url)
        statuses.add(response.status_code)
        assert response.status_code < 500 or response.status_code == 503
        case.validate_response(response, checks=CHECKS)

    ask()
    wanted = range(200, 300) if mode is schemathesis.GenerationMode.POSITIVE else range(400, 500)
    assert statuses & set(wanted), statuses
    assert httpx.get(f"{served.url}/v2/health/live").status_code == 200


def test_every_path_that_is_described_is_fuzzed(served: Served) -> None:
    described = httpx.get(f"{served.url}/openapi.json").json()
    assert tuple(described["paths"]) == PATHS
    infer = described["paths"]["/v2/models/{model}/infer"]["post"]
    assert infer["parameters"][0]["schema"]["enum"] == [*TASKS, "all"]


def test_the_page_shows_every_path_and_needs_nothing_from_elsewhere(served: Served) -> None:
    page = httpx.get(f"{served.url}/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in PATHS:
        assert f"<code>{path}</code>" in page.text
    assert not re.search(r"<script|https?://|@import|url\(", page.text)


def test_a_door_with_a_token_says_so() -> None:
    with serve_node(DoorConfig(token=TOKEN)) as served:
        headers = {"authorization": f"Bearer {TOKEN}"}
        described = httpx.get(f"{served.url}/openapi.json", headers=headers).json()
        assert described["security"] == [{"token": []}]
        for operations in described["paths"].values():
            for operation in operations.values():
                assert "401" in operation["responses"]
        assert "Bearer TOKEN" in httpx.get(f"{served.url}/docs", headers=headers).text


def test_no_bytes_make_a_500(served: Served) -> None:
    """Raw bodies of every type and header, which a description cannot name."""
    kinds = ["image/png", "image/jpeg", "application/json", "application/octet-stream", "x/y", ""]
    texts = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=12)
    with httpx.Client() as client:

        @settings(max_examples=60, deadline=None, database=None)
        @given(
            body=st.binary(max_size=120) | st.just(json.dumps({"inputs": [{}]}).encode()),
            kind=st.sampled_from(kinds),
            headers=st.dictionaries(
                st.sampled_from(
                    ["x-deadline-ms", "x-request-id", "x-client-id", "content-encoding",
                     "inference-header-content-length", "authorization", "accept"]
                ),
                texts,
                max_size=3,
            ),
            model=st.sampled_from(["depth", "all", "normals", "%00", "%ff", "..", "stats", "a b"]),
        )  # fmt: skip
        def ask(body: bytes, kind: str, headers: dict[str, str], model: str) -> None:
            encoded = {name: value.strip().encode("latin-1") for name, value in headers.items()}
            response = client.post(
                f"{served.url}/v2/models/{model}/infer",
                content=body,
                headers={b"content-type": kind.encode()}
                | {name.encode(): value for name, value in encoded.items()},
            )
            assert 400 <= response.status_code < 500
            assert set(response.json()) == {"error", "reason"}

        ask()


def test_the_reasons_for_refusals_are_listed_with_their_sentences(served: Served) -> None:
    described = httpx.get(f"{served.url}/openapi.json").json()
    listed = described["components"]["schemas"]["Refusal"]["properties"]["reason"]["oneOf"]
    found = {entry["const"]: entry["description"] for entry in listed}
    assert found == {str(reason): reason.sentence for reason in RefusalReason}
    page = httpx.get(f"{served.url}/docs").text
    assert all(f'"const": "{reason}"' in page for reason in RefusalReason)
