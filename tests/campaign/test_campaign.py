"""The short form: seeds on both stores; the long form is `python -m tests.campaign`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.campaign.__main__ import campaign

QUICK = 4


@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5))])
def test_nothing_is_lost_doubled_or_stale(seed: int, tmp_path: Path) -> None:
    tally = campaign(QUICK, seed, tmp_path, server=None)
    assert tally.failures == []
    assert tally.disturbed >= QUICK
