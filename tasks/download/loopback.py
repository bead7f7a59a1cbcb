"""Proxies of the environment are for the internet: what this machine asks itself goes straight."""

from __future__ import annotations

import os

HOSTS = ("localhost", "127.0.0.1", "::1")
_NAMES = ("no_proxy", "NO_PROXY")  # which one a library reads, and of both which first, differs


def keep_loopback_direct() -> None:
    """Name this machine in the variables that say what no proxy is used for; children have it from
    there, and gRPC, which has no other way."""
    named = [host.strip() for name in _NAMES for host in os.environ.get(name, "").split(",")]
    wanted = ",".join(dict.fromkeys(filter(None, (*named, *HOSTS))))
    for name in _NAMES:
        os.environ[name] = wanted
