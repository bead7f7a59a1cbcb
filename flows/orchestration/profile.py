"""Which Prefect server the environment or the active profile names, read without Prefect."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.errors import UsageError

API_URL = "PREFECT_API_URL"


@dataclass(frozen=True, slots=True)
class NamedServer:
    """A server's address, and for people where that is set."""

    address: str
    origin: str


def prefect_home() -> Path:
    """Where Prefect keeps its profiles, and a temporary server its data base."""
    return Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect")


def named_server() -> NamedServer | None:
    """The server of the variable PREFECT_API_URL, or else of the active profile; None if neither
    names one. Raises `UsageError` if the profiles cannot be read."""
    if address := os.environ.get(API_URL):
        return NamedServer(address, f"set by the variable {API_URL}")
    path, said = profiles_file(), read_profiles()
    name = os.environ.get("PREFECT_PROFILE") or said.get("active")
    profiles = said.get("profiles")
    profile = profiles.get(name) if isinstance(profiles, dict) else None
    address = profile.get(API_URL) if isinstance(profile, dict) else None
    return NamedServer(str(address), f"set in the profile {name!r} of {path}") if address else None


def profiles_file() -> Path:
    """Where Prefect's profiles are written."""
    return Path(os.environ.get("PREFECT_PROFILES_PATH") or prefect_home() / "profiles.toml")


def read_profiles() -> dict[str, Any]:
    """Prefect's profiles as they are written, {} if there are none; raises `UsageError` if they
    are no TOML, which Prefect would end with."""
    path = profiles_file()
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise UsageError(
            f"Prefect's profiles in {path} cannot be read ({error}); mend the file, or move it away"
        ) from None
