"""Documents are put together from parts that belong together."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tasks.context import Context
from tasks.dataset.reader import stable_id
from tasks.dataset.shards import read_entries
from tasks.encode.stage.stages import PICTURE_SCHEMA
from tasks.errors import WorkFolderError
from tasks.index.documents import (
    FIELDS,
    DocumentParts,
    document_digests,
    read_documents,
    read_scored_parts,
)
from tasks.index.run import IndexRun
from tasks.records import NO_QUERY
from tasks.settings import DocumentForm
from tasks.work.parquet import writing_parquet
from tests.search.conftest import settings_in
from tests.search.library import build, make_pictures, run_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model: Path) -> IndexRun:
    """A run over 10 pictures in shards of 8; the last picture has no query."""
    folder = tmp_path_factory.mktemp("documents")
    data = make_pictures(folder / "pictures", 10)
    lines = (data / "queries.jsonl").read_text("utf-8").splitlines()
    kept = [line for line in lines if '"image_id": 9' not in line]
    (data / "queries.jsonl").write_text("\n".join(kept), "utf-8")
    settings = settings_in(folder, model)
    with Context() as context:
        build(context, f"folder:{data}", settings)
        return run_of(context, f"folder:{data}", settings)


def test_a_document_of_every_picture(run: IndexRun) -> None:
    documents = [d for s in run.plan.shards for d in read_documents(run.folder, s, run.parts)]
    given = [str(number) for number in range(9)]
    assert [document.id for document in documents] == [*given, str(stable_id("9.png"))]
    first, last = documents[0], documents[9]
    assert all(document.fields.keys() == FIELDS.keys() for document in documents)
    assert (first.fields["query"], first.fields["queries"]) == ("红色连衣裙\n夏天 长款", 2)
    assert (last.fields["query"], last.fields["query_id"]) == ("", NO_QUERY)
    assert (last.fields["queries"], dict(last.sparse)) == (0, {})
    assert all(
        base64.b64decode(str(d.fields["picture"])).startswith(b"\xff\xd8") for d in documents
    )
    assert len({str(d.fields["picture"]) for d in documents}) == 10


@pytest.mark.parametrize("form", ["image", "pair"])
@pytest.mark.parametrize("where", [False, True])
def test_digests_do_not_depend_on_how_rows_are_read(
    run: IndexRun, form: DocumentForm, where: bool
) -> None:
    """By column, or by entries that were read before."""
    parts = replace(run.parts, form=form, picture_is_position=where)
    for shard in run.plan.shards:
        entries = list(read_entries(run.folder, shard))
        digests = document_digests(run.folder, shard, parts)
        assert digests == document_digests(run.folder, shard, parts, entries)
        assert len(digests) == len(set(digests.values())) >= shard.images
        assert (digests == document_digests(run.folder, shard, run.parts)) == (parts == run.parts)


def test_scored_parts_are_the_same_documents(run: IndexRun) -> None:
    for shard in run.plan.shards:
        documents = list(read_documents(run.folder, shard, run.parts))
        pieces = list(read_scored_parts(run.folder, shard, run.parts, 3))
        assert [i for ids, _, _ in pieces for i in ids] == [d.id for d in documents]
        assert [s for _, _, sparse in pieces for s in sparse] == [d.sparse for d in documents]
        assert all(len(ids) == len(vectors) <= 3 for ids, vectors, _ in pieces)


@pytest.mark.parametrize("keep", [slice(0, -1), slice(1, None), slice(None, None, -1), slice(0, 0)])
def test_pictures_of_other_embeddings_are_refused(run: IndexRun, keep: slice) -> None:
    shard = run.plan.shards[0]
    ids = [str(number) for number in range(shard.images)][keep]
    name = f"spoiled/{shard.part}.parquet"
    with writing_parquet(run.folder, name, PICTURE_SCHEMA) as file:
        file.write_table(pa.table([ids, [b"x" for _ in ids]], schema=PICTURE_SCHEMA))
    parts = run.parts
    spoiled = DocumentParts(parts.form, parts.images, parts.sparse, "spoiled", False)
    with pytest.raises(WorkFolderError, match=r"the embeddings have .*delete spoiled") as error:
        list(read_documents(run.folder, shard, spoiled))
    assert "\n" not in str(error.value)
