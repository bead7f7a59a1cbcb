"""Which code made numbers, where it is no clone."""

from __future__ import annotations

import pytest

from tasks.evaluate import origin


def test_an_image_knows_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: str) -> str:
        raise FileNotFoundError("git")

    monkeypatch.setattr(origin, "_git", away)
    assert origin._commit() == ""
    monkeypatch.setenv("MUGE_DEPLOY_COMMIT", "0" * 40)
    assert origin._commit() == "0" * 40
