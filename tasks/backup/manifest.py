"""What an export says of itself: the manifest, written last, which makes it complete."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import TypeAdapter, ValidationError

from tasks.backup.folder import MANIFEST, NOTES, ExportFolder, damaged
from tasks.errors import ExportError
from tasks.opening import leads_beneath
from tasks.records import FieldType
from tasks.seal import sealed, unsealed

FORMAT, VERSION = "muge-export", 1
MOST_BYTES = 256 << 20
"""Of a manifest: 250 bytes a file."""
RECORD = "record.json"
STATISTICS = "bm25.json"
DOCUMENTS = "documents"
RUN = "run"
"""The folder of what is kept of a run's folder, as it is there."""


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One file: its path in the export, its size, its SHA-256 in hex, and what is in it: `rows`,
    and for pictures of documents how many are odd, by kind."""

    path: str
    bytes: int
    sha256: str
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A collection in an export.

    `alias` is the name by which it was asked for ("": its own), `store` the kind of store it was
    read from, `state` what it was then (another text whenever the collection is another),
    `created` when the export began (ISO 8601, UTC), `made_by` the version of this program.
    `left_out` counts documents whose newer version the store had refused. `computed_in` is the
    number format that the model worked in.
    """

    format: str
    version: int
    collection: str
    alias: str
    store: str
    state: str
    created: str
    made_by: str
    documents: int
    left_out: int
    dimension: int
    partition: str
    computed_in: str
    fields: Mapping[str, FieldType] = field(hash=False)
    files: tuple[ExportedFile, ...]
    id: str = ""

    def file(self, path: str) -> ExportedFile | None:
        """A file by its path."""
        return next((each for each in self.files if each.path == path), None)

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


_FORM = TypeAdapter(Manifest)


def write_manifest(export: ExportFolder, manifest: Manifest) -> None:
    """Write it: from now on the export is complete."""
    said = asdict(manifest)
    del said["id"]
    text = json.dumps(sealed(said), ensure_ascii=False, indent=1)  # fields keep their order
    with export.writing(MANIFEST) as handle:
        handle.write(text.encode() + b"\n")


def has_manifest(export: ExportFolder) -> bool:
    """Whether an export is complete."""
    return export.folder.exists(MANIFEST)


def read_manifest(export: ExportFolder) -> Manifest:
    """The manifest, with the hash of its content as `id`; no other file is looked at.

    Raises `ExportError` if there is none, if it was altered, is of another version, or names a
    file outside the export's folder.
    """
    if not has_manifest(export):
        raise _no_export(export)
    content = export.read(MANIFEST, MOST_BYTES)
    with export.explained(MANIFEST):
        said = json.loads(content)
        _check_version(export, said)
        try:
            unsealed(said)
            manifest = _FORM.validate_json(content, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "file"
            raise damaged(export, MANIFEST, f"{where}: {first['msg']}") from None
    _check_paths(export, manifest)
    id = hashlib.sha256(content).hexdigest()
    return Manifest(**{name: getattr(manifest, name) for name in _plain()}, id=id)


def _plain() -> list[str]:
    return [name for name in Manifest.__slots__ if name != "id"]


def _check_version(export: ExportFolder, said: object) -> None:
    found = said.get("format") if isinstance(said, dict) else None
    if not isinstance(said, dict) or found != FORMAT:
        raise ExportError(f"{export.url}/{MANIFEST} is of no export ({FORMAT}): {found!r}")
    if said.get("version") != VERSION:
        raise ExportError(
            f"{export.url}/{MANIFEST} is of version {said.get('version')!r} of the format, this "
            f"muge-search reads version {VERSION}; import it with the muge-search that made it "
            f"({said.get('made_by')!r}), or export the collection again with this one"
        )
    if "seal" not in said:
        raise damaged(export, MANIFEST, "it has no checksum of itself")


def _check_paths(export: ExportFolder, manifest: Manifest) -> None:
    paths = [file.path for file in manifest.files]
    outside = [path for path in paths if not leads_beneath(path)]
    if outside:
        raise ExportError(
            f"{export.url}/{MANIFEST} names {outside[0]!r}, which is outside the export's folder: "
            f"nothing was read of it and nothing was written; do not trust where it comes from"
        )
    if len(set(paths)) != len(paths):
        raise damaged(export, MANIFEST, "it names a file twice")


def _no_export(export: ExportFolder) -> ExportError:
    if any(name.startswith(f"{NOTES}/") for name in export.names()):
        return ExportError(
            f"the export in {export.url} is not complete; run the same `muge export` again, it "
            f"does only what is missing"
        )
    return ExportError(
        f"{export.url} holds no export: there is no {MANIFEST}; give the folder that `muge export` "
        f"wrote"
    )
