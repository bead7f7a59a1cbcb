"""What collections, partitions and aliases may be called: DashVector's rule, kept everywhere."""

from __future__ import annotations

import re

NAME_RULE = "3 to 32 of a-z A-Z 0-9 _ -, first a letter"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{2,31}")


def can_be_name(name: str) -> bool:
    """Whether a name keeps `NAME_RULE`."""
    return _NAME.fullmatch(name) is not None
