"""What is damaged, altered or made to do harm is named, and nothing is written of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.backup.check import open_export
from tasks.backup.folder import MANIFEST
from tasks.context import Context
from tasks.errors import ExportError, MugeError, NoRoomError, SchemaMismatchError
from tasks.seal import sealed
from tasks.store.zvec.store import ZvecStore
from tasks.work.collections import find_record
from tasks.work.folder import Folder
from tests.backup.made import Made, make_collection
from tests.backup.trips import exported, files, imported, place

PART = "documents/part-00001-of-00003.parquet"
CATALOG = "run/catalog/part-00001-of-00003.parquet"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of three shards; tests must not write to it."""
    folder = tmp_path_factory.mktemp("export")
    there = place(folder, shard_images=10)
    with Context() as context:
        make_collection(context, there, Made(23, fields={"price": "float", "brand": "str"}))
    exported(there, folder / "out")
    return folder / "out"


@dataclass(frozen=True)
class Altered:
    """A copy of an export that may be altered, also in ways that its checksums agree with."""

    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / name

    def manifest(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.path(MANIFEST).read_text("utf-8"))
        del said["seal"]
        return said

    def say(self, **changes: Any) -> None:
        """Let the manifest say something else, with its own checksum right."""
        self.path(MANIFEST).write_text(json.dumps(sealed({**self.manifest(), **changes})), "utf-8")

    def put(self, name: str, content: bytes, **counts: int) -> None:
        """Another content, with the checksum right."""
        self.path(name).write_bytes(content)
        digest = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        listed = self.manifest()["files"]
        for each in listed:
            if each["path"] == name:
                each.update(digest)
                each["counts"].update(counts)
        self.say(files=listed)

    def put_json(self, name: str, **changes: Any) -> None:
        said = json.loads(self.path(name).read_text("utf-8"))
        said.pop("seal", None)
        self.put(name, json.dumps(sealed({**said, **changes})).encode())

    def put_table(self, name: str, change: Callable[[pa.Table], pa.Table], **options: Any) -> None:
        table = change(pq.read_table(self.path(name)))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **options)
        self.put(name, sink.getvalue().to_pybytes(), rows=len(table))


@pytest.fixture(scope="module")
def copied(original: Path) -> Altered:
    """A copy that is put right after each change."""
    return Altered(Path(shutil.copytree(original, original.parent / "copied")))


@pytest.fixture
def altered(original: Path, tmp_path: Path) -> Altered:
    return Altered(Path(shutil.copytree(original, tmp_path / "altered")))


def refusal(folder: Path, tmp_path: Path) -> str:
    """What an import says; nothing is there afterwards."""
    there = place(tmp_path, "-refused")
    with pytest.raises(ExportError) as caught:
        imported(there, folder)
    assert not list(tmp_path.glob("*-refused"))
    said = str(caught.value)
    assert "\n" not in said
    assert not caught.value.may_pass
    return said


@pytest.mark.thorough
def test_every_file_is_missed_and_every_cut_is_seen(
    altered: Altered, original: Path, tmp_path: Path
) -> None:
    for name, content in files(original).items():
        path = altered.path(name)
        path.unlink()
        said = refusal(altered.folder, tmp_path)
        assert name in said
        assert "is not there" in said or "holds no export" in said
        path.write_bytes(content[:-2])
        assert name in refusal(altered.folder, tmp_path)
        path.write_bytes(b"")
        assert name in refusal(altered.folder, tmp_path)
        path.write_bytes(content)
    assert open_export(str(altered.folder)).manifest.documents == 23


@pytest.mark.thorough
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_any_other_byte_anywhere_is_seen(original: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(files(original))))
    content = (original / name).read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    other = bytearray(content)
    other[at] ^= data.draw(st.integers(1, 255))
    try:
        (original / name).write_bytes(other)
        with pytest.raises(ExportError, match=name.replace(".", r"\.")):
            open_export(str(original))
    finally:
        (original / name).write_bytes(content)


MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "another format": ({"format": "zip"}, r"is of no export \(muge-export\): 'zip'"),
    "a version to come": ({"version": 2}, r"is of version 2 of the format, this .* version 1"),
    "a text as version": ({"version": "1"}, r"is of version '1'"),
    "no number of documents": ({"documents": "23"}, r"manifest.json .*documents: "),
    "another number of documents": ({"documents": 24}, r"23 documents are listed, it says 24"),
    "another dimension": ({"dimension": 8}, r"record.json .*"),
    "another collection": ({"collection": "shop"}, r"record.json .*"),
    "another partition": ({"partition": "shoes"}, r"record.json .*"),
    "other fields": ({"fields": {"image_id": "int"}}, r"run/shards.json .*its fields are"),
    "a field of no type": ({"fields": {"image_id": "date"}}, r"manifest.json .*fields"),
    "no files": ({"files": []}, r"run/shards.json .*more parts than the manifest"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_says_something_else(kind: str, altered: Altered, tmp_path: Path) -> None:
    changes, said = MANIFESTS[kind]
    altered.say(**changes)
    with pytest.raises(ExportError, match=said):
        raise ExportError(refusal(altered.folder, tmp_path))


@pytest.mark.parametrize(
    "path",
    ["../outside.parquet", "/etc/passwd", "documents/../../outside", "C:x", "s3://b/k", "a\\b", ""],
)
def test_paths_that_lead_outside_are_not_even_read(
    path: str, altered: Altered, tmp_path: Path
) -> None:
    (tmp_path / "outside.parquet").write_bytes(b"somebody else's")
    listed = altered.manifest()["files"]
    altered.say(files=[*listed, {"path": path, "bytes": 1, "sha256": "0" * 64, "counts": {}}])
    said = refusal(altered.folder, tmp_path)
    assert repr(path) in said
    assert "outside the export's folder" in said


@pytest.mark.parametrize("path", ["run/images-00/x.parquet", "notes.txt", "collections/x.json"])
def test_files_that_no_export_has_are_refused(path: str, altered: Altered, tmp_path: Path) -> None:
    altered.path(path).parent.mkdir(parents=True, exist_ok=True)
    altered.path(path).write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    listed = altered.manifest()["files"]
    altered.say(files=[*listed, {"path": path, "bytes": 1, "sha256": digest, "counts": {}}])
    assert "no export has such a file" in refusal(altered.folder, tmp_path)


RECORDS: dict[str, dict[str, Any]] = {
    "a run that climbs": {"run": "../../elsewhere/0123456789abcdef"},
    "a run among the records": {"run": "collections/zvec-0"},
    "an absolute run": {"run": "/tmp/0123456789abcdef"},
    "no record at all": {"model": 3},
    "one that was never complete": {"status": "building"},
    "a change going on": {"updates": [{"run": "a", "changes": "b", "made_of": "c"}]},
    "a name that is none": {"collection": "../x"},
    "another model": {"model": {"name": "x"}},
    "other statistics": {"bm25": "0" * 16},
    "other data": {"data_fingerprint": "0" * 16},
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_that_says_something_else(kind: str, altered: Altered, tmp_path: Path) -> None:
    altered.put_json("record.json", **RECORDS[kind])
    assert ".json" in refusal(altered.folder, tmp_path)


@pytest.mark.parametrize("name", ["images", "sparse", "texts", "bm25", "pictures"])
@pytest.mark.parametrize("output", ["../../x", "catalog", "a/b", "", "."])
def test_outputs_of_a_record_stay_in_their_place(
    name: str, output: str, altered: Altered, tmp_path: Path
) -> None:
    stages = json.loads(altered.path("record.json").read_text("utf-8"))["stages"]
    altered.put_json("record.json", stages={**stages, name: output})
    if (name, output) == ("pictures", ""):  # then the documents say otherwise
        assert PART.replace("1-of", "0-of") in refusal(altered.folder, tmp_path)
    else:
        assert "record.json" in refusal(altered.folder, tmp_path)


def column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    """The table with one column changed."""

    def changed(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index(name)
        values = change(table.column(name).to_pylist())
        return table.set_column(
            place, table.schema.field(name), pa.array(values, table.schema.field(name).type)
        )

    return changed


def first(change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [change(values[0]), *values[1:]]


def in_fields(**changes: Any) -> Callable[[pa.Table], pa.Table]:
    return column("fields", first(lambda fields: {**fields, **changes}))


TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a vector of nothing": column("vector", first(lambda v: [0.0] * len(v))),
    "a vector without a number": column("vector", first(lambda v: [float("nan"), *v[1:]])),
    "a vector without end": column("vector", first(lambda v: [3e38] * len(v))),
    "a vector that is none": column("vector", first(lambda _: None)),
    "a hole in a vector": column("vector", first(lambda v: [None, *v[1:]])),
    "another id": column("id", first(lambda _: "../4")),
    "an id without text": column("id", first(lambda _: None)),
    "an id twice": column("id", lambda ids: [ids[1], *ids[1:]]),
    "the order turned": lambda table: table.take(list(range(len(table)))[::-1]),
    "a row twice": lambda table: pa.concat_tables([table.slice(0, 1), table]),
    "another partition": column("partition", first(lambda _: "shoes")),
    "an oddity that is none": column("oddity", first(lambda _: "rows")),
    "a term twice": column("sparse_indices", first(lambda keys: [keys[0]] * len(keys))),
    "a weight below 0": column("sparse_values", first(lambda v: [-1.0, *v[1:]])),
    "a weight without end": column("sparse_values", first(lambda v: [float("inf"), *v[1:]])),
    "weights without terms": column("sparse_indices", first(lambda keys: keys[1:])),
    "a price that is another": in_fields(price=1e9),
    "a text that is another": in_fields(query="别的"),
    "a picture that is none": in_fields(picture="<script>"),
    "a number that is another": in_fields(image_id=77),
    "no fields": column("fields", first(lambda _: None)),
    "another dimension": lambda table: table.set_column(
        1, "vector", pa.array([[1.0]] * len(table), pa.list_(pa.float32(), 1))
    ),
    "a column more": lambda table: table.append_column("more", pa.array([1] * len(table))),
    "a column less": lambda table: table.drop_columns(["sparse_values"]),
    "doubles": lambda table: table.set_column(
        1,
        "vector",
        table.column("vector").cast(pa.list_(pa.float64(), table.schema.field(1).type.list_size)),
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_documents_that_are_something_else(kind: str, altered: Altered, tmp_path: Path) -> None:
    altered.put_table(PART, TABLES[kind])
    parts = sorted((altered.folder / "documents").glob("*.parquet"))
    altered.say(documents=sum(pq.ParquetFile(part).metadata.num_rows for part in parts))
    assert PART in refusal(altered.folder, tmp_path)


def test_fewer_documents_than_pictures_are_fine(altered: Altered, tmp_path: Path) -> None:
    altered.put_table(PART, lambda table: table.slice(2))
    altered.say(documents=21)
    assert imported(place(tmp_path, "2"), altered.folder).documents == 21


CATALOGS: dict[str, Callable[[pa.Table], pa.Table]] = {
    "an image without id": column("image_id", first(lambda _: None)),
    "an image without hash": column("hash", first(lambda _: None)),
    "queries that are none": column("queries", first(lambda _: None)),
    "more ids than queries": column("query_ids", first(lambda ids: [*ids, "5"])),
    "a query id that is no number": column("query_ids", first(lambda ids: ["x"] * len(ids))),
    "an own id that is no number": column("own_id", first(lambda _: "x")),
    "an own id of another image": column("own_id", first(lambda _: "77")),
    "other columns": lambda table: table.drop_columns(["span"]),
    "no rows": lambda table: table.slice(0, 0),
}


@pytest.mark.parametrize("kind", CATALOGS)
def test_a_catalog_that_is_something_else(kind: str, altered: Altered, tmp_path: Path) -> None:
    altered.put_table(CATALOG, CATALOGS[kind])
    said = refusal(altered.folder, tmp_path)
    assert CATALOG in said or PART in said


def test_what_unpacks_to_too_much_is_not_unpacked(altered: Altered, tmp_path: Path) -> None:
    altered.put_table(PART, in_fields(picture="A" * (70 << 20)), compression="zstd")
    assert altered.path(PART).stat().st_size < 1 << 20
    said = refusal(altered.folder, tmp_path)
    assert PART in said
    assert "unpacks from" in said


@pytest.mark.thorough
@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_parquet_with_any_byte_changed_and_the_checksum_right(
    original: Path, copied: Altered, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([PART, CATALOG, "run/sources.parquet"]))
    content = bytearray((original / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    copied.put(name, bytes(content))
    said = name
    try:
        open_export(str(copied.folder))  # a byte that nobody reads, or a vector's last
    except ExportError as error:
        said = str(error)
    finally:
        copied.put(name, (original / name).read_bytes())
    assert ".parquet" in said


def test_pipes_and_folders_are_no_files(altered: Altered, tmp_path: Path) -> None:
    for name in (MANIFEST, PART):
        path = altered.path(name)
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert "it is not a file but a named pipe" in refusal(altered.folder, tmp_path)
        path.unlink()
        path.mkdir()
        assert name in refusal(altered.folder, tmp_path)
        path.rmdir()
        path.write_bytes(content)


def test_deep_and_strange_json_is_one_line(altered: Altered, tmp_path: Path) -> None:
    for content in (b"[" * 100_000, b"[]", b"null", b"\xff\xfe", b'{"format": "muge-export"}'):
        altered.path(MANIFEST).write_bytes(content)
        assert MANIFEST in refusal(altered.folder, tmp_path)


def test_what_is_no_export_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        assert "holds no export: there is no manifest.json" in refusal(folder, tmp_path)
    with pytest.raises(MugeError):
        imported(place(tmp_path), Path("nosuch://bucket/x"))


def test_vectors_are_kept_to_the_last_bit(altered: Altered, tmp_path: Path) -> None:
    table = pq.read_table(altered.path(PART))
    vectors = table.column("vector").combine_chunks().flatten().to_numpy().copy()
    vectors[0] = np.nextafter(vectors[0], np.float32(1))
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors), 16)
    altered.put_table(PART, lambda t: t.set_column(1, t.schema.field(1), column))
    there = place(tmp_path, "2")
    imported(there, altered.folder)
    name = str(table.column("id")[0])
    with Context() as context:
        found = context.store(there.store_uri).fetch("muge", [name])
    assert found[name].vector.tobytes() == vectors[:16].tobytes()


def test_what_does_not_fit_is_not_begun(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.backup.restore.free_bytes", lambda _: 1_000_000)
    with pytest.raises(NoRoomError, match=r"takes about .* MB, and .* has 1\.0 MB free; nothing"):
        imported(place(tmp_path, "2"), original)
    assert not (tmp_path / "store2").exists()
    assert not list((tmp_path / "work2").glob("[!.]*"))


def test_a_store_that_cannot_have_it_keeps_no_record(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise SchemaMismatchError("no such field names here")

    monkeypatch.setattr(ZvecStore, "create", refuses)
    there = place(tmp_path, "2")
    with pytest.raises(SchemaMismatchError):
        imported(there, original)
    monkeypatch.undo()
    assert find_record(Folder(there.work_url), there.store_uri, "muge") is None
    assert imported(there, original).upserted == 23
