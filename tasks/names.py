"""What collections, partitions and aliases may be called: DashVector's rule, kept everywhere."""

from __future__ import annotations

import re

from tasks.errors import BadNameError

NAME_RULE = "3 to 32 of a-z A-Z 0-9 _ -, first a letter"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{2,31}")


def check_name(name: str, what: str = "collection") -> str:
    """The name itself, or `BadNameError` if it does not keep `NAME_RULE`; `what` is named so."""
    if _NAME.fullmatch(name) is None:
        raise BadNameError(f"{what} name {name!r} is not allowed: {NAME_RULE}")
    return name
