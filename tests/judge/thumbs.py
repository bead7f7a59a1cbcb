"""Thumbs for tests."""

from __future__ import annotations

from typing import Any

from tasks.judge.thumbs import Thumb, Thumbs, query_id_of


def press(
    thumbs: Thumbs, query: str, image: str, grade: int, user: str = "a", **more: Any
) -> Thumb:
    """Keep a thumb as the page does."""
    id, time = thumbs.stamp()
    said = {"document": image, "collection": "muge", "made_of": "x", **more}
    thumb = Thumb(
        id=id,
        time=time,
        user=user,
        query=query,
        query_id=query_id_of(query),
        image=image,
        grade=grade,
        **said,
    )
    thumbs.keep(thumb)
    return thumb
