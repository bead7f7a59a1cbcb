"""Optional packages: a file of tests that needs one is skipped where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(package: str, extra: str) -> None:
    """Skip the whole file without a package, which is not imported: each worker collects all."""
    if find_spec(package) is None:
        pytest.skip(f'needs the extra "{extra}"', allow_module_level=True)
