from __future__ import annotations

from tests.flows.conftest import muge
from tests.search.conftest import built, one_thread, pictures

__all__ = ["built", "muge", "one_thread", "pictures"]
