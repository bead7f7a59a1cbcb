"""Whose certificates are trusted: this machine's roots and the known ones, or those of a file.

Libraries bring lists of their own, some of them years old (the DashVector SDK's dependency is of
2023) and none with a company's own root. SSL_CERT_FILE names a file that is trusted instead.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from tasks.errors import UsageError

VARIABLE = "SSL_CERT_FILE"
_SYSTEMS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)
"""Where Debian, Red Hat and macOS keep all roots in one file."""


def roots_file() -> str | None:
    """The one file of roots to trust: SSL_CERT_FILE, or the system's; None if there is neither."""
    if given := os.environ.get(VARIABLE):
        return given
    usual = ssl.get_default_verify_paths().cafile
    return next((place for place in (usual, *_SYSTEMS) if place and Path(place).is_file()), None)


def trusted_roots(given: tuple[str, str] | None = None) -> bytes:
    """Roots as PEM: of the file that is `given` as (variable, path), or that SSL_CERT_FILE names;
    without one the system's and those of certifi.

    Raises `UsageError` if the file cannot be read or holds no certificate.
    """
    named = given or ((VARIABLE, os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if named is not None:
        return _read(*named)
    import certifi

    places = (roots_file(), certifi.where())
    return b"\n".join(Path(place).read_bytes() for place in places if place)


def trusted_context() -> ssl.SSLContext:
    """A client's context that trusts `trusted_roots`; raises `UsageError` as that does."""
    if named := os.environ.get(VARIABLE):
        _read(VARIABLE, named)  # OpenSSL itself passes over what it cannot read
    context = ssl.create_default_context()
    if not named:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def trust_in_requests() -> None:
    """Let the library requests, which knows its own list only, trust what is trusted here."""
    file = roots_file()
    if file is not None and not os.environ.get("CURL_CA_BUNDLE"):
        os.environ.setdefault("REQUESTS_CA_BUNDLE", file)


def _read(variable: str, path: str) -> bytes:
    try:
        content = Path(path).read_bytes()
        ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise UsageError(
            f"{variable} {path} cannot be used: {reason}; it must be a file of roots in PEM form"
        ) from None
    return content
