"""The sample as a data set."""

from __future__ import annotations

from tests.dataset.rows import all_rows


def test_pictures_come_first_and_every_query_names_pictures() -> None:
    rows = all_rows("sample:")
    images = {row.image_id for row in rows if row.image is not None}
    pairs = [row for row in rows if row.image is None]
    assert len(images) > 100
    assert len(pairs) > 100
    assert all(row.image_id in images and row.query for row in pairs)
    assert all(row.defect is None for row in rows)


def test_held_out_queries_are_others_about_the_same_pictures() -> None:
    images = {row.image_id for row in all_rows("sample:") if row.image is not None}
    indexed = {row.query_id for row in all_rows("sample:") if row.image is None}
    held_out = all_rows("sample:?split=held_out")
    assert held_out
    assert {row.image_id for row in held_out} <= images
    assert not {row.query_id for row in held_out} & indexed
    assert not any(row.image for row in held_out)
