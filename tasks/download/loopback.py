"""Proxies of the environment are for the internet: what this machine asks itself goes straight.

They are written in ways that not every library knows: GNOME's settings say `socks://`.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

HOSTS = ("localhost", "127.0.0.1", "::1")
_NAMES = ("no_proxy", "NO_PROXY")  # which one a library reads, and of both which first, differs
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_SCHEMES = ("http", "https", "socks5", "socks5h")


def spelled_proxy(proxy: str) -> str:
    """A proxy as all libraries here read it: `socks://` is SOCKS5 that looks names up itself."""
    scheme, colon, rest = proxy.strip().partition("://")
    return f"socks5h://{rest}" if colon and scheme.lower() == "socks" else proxy.strip()


def spell_proxies() -> None:
    """Write the environment's proxies as all libraries read them."""
    for name in _variables():
        os.environ[name] = spelled_proxy(os.environ[name])


def unusable_proxy() -> str | None:
    """A variable that names no proxy that can be used; None if there is none. Its libraries raise
    for it even where nothing is sent through it."""
    return next((name for name in _variables() if not _is_usable(os.environ[name])), None)


def _variables() -> list[str]:
    names = (*_PROXIES, *map(str.upper, _PROXIES))
    return [name for name in names if os.environ.get(name)]


def _is_usable(proxy: str) -> bool:
    proxy = spelled_proxy(proxy)
    try:
        parsed = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        return parsed.scheme in _SCHEMES and parsed.port != 0
    except ValueError:  # no port, or no end of an address of IPv6
        return False


def keep_loopback_direct() -> None:
    """Name this machine in the variables that say what no proxy is used for; children have it from
    there, and gRPC, which has no other way."""
    named = [host.strip() for name in _NAMES for host in os.environ.get(name, "").split(",")]
    wanted = ",".join(dict.fromkeys(filter(None, (*named, *HOSTS))))
    for name in _NAMES:
        os.environ[name] = wanted
