"""schemathesis over the OpenAPI: whatever is sent, the server keeps to its description."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from schemathesis import Case, GenerationMode
    from schemathesis.schemas import APIOperation

TRIES = int(os.environ.get("MUGE_TEST_API_TRIES", "30"))


@pytest.mark.gate("negative")
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_the_api_keeps_to_its_description(server: str, mode: str) -> None:
    import schemathesis  # takes a second, which each worker would spend
    from schemathesis.core.result import Ok

    schema = schemathesis.openapi.from_url(f"{server}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 12
    for operation in operations:
        # any bytes may be sent as a picture, and any text is an id: those have nothing to break
        if mode == "positive" or operation.query:
            call_many(operation, schemathesis.GenerationMode(mode))


def call_many(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode) -> None:
    """Send as many requests as are to be tried; every answer must fit the description."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    all_checks = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=TRIES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        database=None,
        derandomize=True,
    )
    def send(case: Case[Any]) -> None:
        case.call_and_validate(checks=all_checks, timeout=30)

    send()


def test_random_bytes_and_filters_break_nothing(server: str, place: Path) -> None:
    chance = random.Random(7)
    picture = next((place / "pictures").glob("*.webp")).read_bytes()
    headers = {"Content-Type": "image/webp"}
    with httpx.Client(base_url=server, timeout=30) as client:
        for _ in range(40):
            broken = bytearray(picture[: chance.randrange(1, len(picture))])
            for _ in range(8):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            answer = client.post("/api/pictures", content=bytes(broken), headers=headers)
            assert answer.status_code in (201, 422), answer.text
        for filter in filters(chance, 60):
            params = {"text": "猫", "filter": filter}
            answer = client.get("/api/search", params=params)
            assert answer.status_code in (200, 422), (filter, answer.text)
        assert client.get("/api/health").status_code == 200


def filters(chance: random.Random, count: int) -> list[str]:
    """Odd filters: pieces of good ones in any order."""
    pieces = "image_id query < > >= != = 3 '猫' and or not in ( ) like '%' \" ' \\ ; -- NULL 1e9 ,"
    lengths = [chance.randrange(1, 12) for _ in range(count)]
    return [" ".join(chance.choices(pieces.split(), k=length)) for length in lengths]
