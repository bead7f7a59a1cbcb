from __future__ import annotations

from tests.search.conftest import built, model, one_thread, own, pictures

__all__ = ["built", "model", "one_thread", "own", "pictures"]
