"""Credentials of DashVector clusters by name: the environment's, or those that a caller brought."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping

from pydantic import SecretStr

from tasks.errors import UsageError
from tasks.opening import read_regular
from tasks.options import read_options
from tasks.settings import DashVectorSettings

MOST_BYTES = 64 << 10
COMMAND_SECONDS = 60.0


def credentials_of(name: str, brought: Mapping[str, DashVectorSettings]) -> DashVectorSettings:
    """Credentials of `dashvector:NAME`; without a name those of the environment.

    Raises `UsageError` if nobody brought that name, or if a file or command that should give one of
    them does not.
    """
    if not name:
        settings = read_options(DashVectorSettings, {})
        found = {field: _secret(settings, field) for field in ("api_key", "endpoint")}
        return settings.model_copy(update=found)
    if name not in brought:
        raise UsageError(
            f"store dashvector:{name}: no credentials block of that name was loaded; save one in "
            f"Prefect (block type dashvector-credentials), or use dashvector: with "
            f"DASHVECTOR_API_KEY and DASHVECTOR_ENDPOINT"
        )
    return brought[name]


def _secret(settings: DashVectorSettings, field: str) -> SecretStr | None:
    """A credential: as given, or else out of the file or from the command that is named."""
    given: SecretStr | None = getattr(settings, field)
    if given is not None and given.get_secret_value().strip():
        return given
    file: str | None = getattr(settings, f"{field}_file")
    command: str | None = getattr(settings, f"{field}_command")
    variable = f"DASHVECTOR_{field.upper()}"
    if file and command:
        raise UsageError(f"give one of {variable}_FILE and {variable}_COMMAND, not both")
    if file:
        return _of_file(f"{variable}_FILE", file)
    return _of_command(f"{variable}_COMMAND", command) if command else given


def _of_file(variable: str, path: str) -> SecretStr:
    try:
        said = read_regular(path, MOST_BYTES).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise UsageError(f"{variable} {path} cannot be read: {reason}") from None
    if not said:
        raise UsageError(f"{variable} {path} is empty; write the credential into it")
    return SecretStr(said)


def _of_command(variable: str, command: str) -> SecretStr:
    """What a command prints; what it says of an error may hold secrets, and is not shown."""
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise UsageError(f"{variable} did not end within {COMMAND_SECONDS:.0f} seconds") from None
    except OSError as error:
        raise UsageError(f"{variable} cannot be run: {error}") from None
    except ValueError as error:
        raise UsageError(f"{variable} is no command: {error}") from None
    if done.returncode:
        raise UsageError(
            f"{variable} ended with {done.returncode}; run it by hand to see what is wrong"
        )
    if not done.stdout.strip():
        raise UsageError(f"{variable} printed nothing; it must print the credential")
    return SecretStr(done.stdout.strip())
