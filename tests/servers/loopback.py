"""Lets the DashVector SDK reach a test server on this machine.

The SDK refuses endpoints with a port and always speaks TLS. Neither may be loosened in the
product, so it is done here, for 127.0.0.1 alone:

    export DASHVECTOR_ENDPOINT=127.0.0.1:18600 DASHVECTOR_API_KEY=test-key
    python -m tests.servers.loopback muge index sample: --store dashvector:
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points

import dashvector.common.handler as handler

SITE = """
from tests.servers.loopback import loopback_allowed
kept = loopback_allowed()
kept.__enter__()
"""
"""A sitecustomize.py, for Python's start in each process: its clients may use 127.0.0.1:PORT."""

_LOOPBACK = re.compile(r"127\.0\.0\.1:\d{1,5}")
_INSECURE = "DASHVECTOR_INSECURE_MODE"


@contextmanager
def loopback_allowed(tls: bool = False) -> Iterator[None]:
    """While it lasts, clients of this process may use 127.0.0.1:PORT, without TLS (or with `tls`
    as always), and nothing else."""
    before, accepted = os.environ.get(_INSECURE), handler.verify_endpoint
    _set(None if tls else "1")
    handler.verify_endpoint = lambda endpoint: bool(_LOOPBACK.fullmatch(str(endpoint)))
    try:
        yield
    finally:
        handler.verify_endpoint = accepted
        _set(before)


def _set(value: str | None) -> None:
    os.environ.pop(_INSECURE, None)
    if value is not None:
        os.environ[_INSECURE] = value


def main(arguments: Sequence[str]) -> int:
    """Run an installed command, such as `muge`, in this process."""
    found = [one for one in entry_points(group="console_scripts") if one.name == arguments[0]]
    if not found:
        print(f"{arguments[0]!r} is not an installed command", file=sys.stderr)
        return 2
    sys.argv = list(arguments)
    with loopback_allowed():
        result = found[0].load()()
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m tests.servers.loopback COMMAND [ARGUMENT ...]")
    sys.exit(main(sys.argv[1:]))
