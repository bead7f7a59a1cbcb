"""Fingerprints of JSON values, and small JSON files that say when they were altered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

SEAL = "seal"


def fingerprint(**made_of: Any) -> str:
    """16 hex digits that change when anything an output was made of changes.

    Values must be JSON; keys are sorted, so that order does not matter.
    """
    text = json.dumps(made_of, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def fingerprint_of_many(name: str, items: Iterable[Any], **made_of: Any) -> str:
    """As `fingerprint` with a list `name` of the items, which are never held together."""
    outer = json.dumps(
        {**made_of, name: []}, sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    begin, _, end = outer.partition(f'"{name}":[]')
    digest, comma = hashlib.blake2b(f'{begin}"{name}":['.encode(), digest_size=8), b""
    for item in items:
        digest.update(comma + json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode())
        comma = b","
    digest.update(f"]{end}".encode())
    return digest.hexdigest()


def sealed(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be kept as JSON, with a seal over it."""
    return {**said, SEAL: fingerprint(**json.loads(json.dumps(said)))}


def unsealed(kept: Any) -> Any:
    """What was sealed; as it is where there is no seal, as earlier versions wrote it.

    Raises `ValueError` if it is not what was sealed.
    """
    if not isinstance(kept, dict) or SEAL not in kept:
        return kept
    said = {name: value for name, value in kept.items() if name != SEAL}
    if kept[SEAL] != fingerprint(**said):
        raise ValueError("its checksum differs: it was altered or damaged")
    return said


def payload_hash(payload: bytes) -> str:
    """BLAKE2b-128 of what was refused, in hex."""
    return hashlib.blake2b(payload, digest_size=16).hexdigest()
