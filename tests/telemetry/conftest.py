from __future__ import annotations

from tests.shop import model, pictures

__all__ = ["model", "pictures"]
