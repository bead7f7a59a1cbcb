"""As on a machine that DashText has no wheel for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tasks.sparse import tokens


@contextmanager
def without_dashtext() -> Iterator[None]:
    """DashText cannot be imported, and texts are cut without it."""
    with patch.dict(sys.modules, {"dashtext": None}):
        tokens.cut_for_search.cache_clear()
        yield
    tokens.cut_for_search.cache_clear()
