from __future__ import annotations

from tests.search.conftest import built, one_thread, own, pictures

__all__ = ["built", "one_thread", "own", "pictures"]
