"""An answer as files that people pass on: a table, and a ZIP with the table and the pictures."""

from __future__ import annotations

import csv
import io
import re
import zipfile

from tasks.records import FieldValue, Hit
from tasks.search.answers import Answer, picture_in, picture_kind

TABLE = "results.csv"
OWN = ("rank", "id", "score", "dense", "sparse", "source", "source_picture")
PICTURE = "picture"
ENDINGS = {"image/png": "png", "image/webp": "webp"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def as_csv(answer: Answer) -> bytes:
    """The hits as a table in UTF-8 with a mark, as spreadsheets want it: a row a hit, all fields
    but the picture. Texts that a spreadsheet would compute have a "'" before them."""
    fields = dict.fromkeys(n for hit in answer.hits for n in hit.fields if n != PICTURE)
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow((*OWN, *fields))
    for rank, hit in enumerate(answer.hits, answer.before + 1):
        source = answer.sources.get(hit.id)
        said = (source.row, source.picture) if source else ("", "")
        own = (rank, hit.id, hit.score, hit.dense, hit.sparse, *said)
        table.writerow(map(_cell, (*own, *(hit.fields.get(name, "") for name in fields))))
    return text.getvalue().encode("utf-8-sig")


def as_zip(answer: Answer) -> bytes:
    """The table, and the picture that each hit carries as "RANK-ID.jpg"."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as file:  # pictures are small already
        file.writestr(TABLE, as_csv(answer), zipfile.ZIP_DEFLATED)
        for rank, hit in enumerate(answer.hits, answer.before + 1):
            picture = picture_in(hit.fields)
            if picture is not None:
                file.writestr(_name(rank, hit, picture), picture)
    return packed.getvalue()


def _cell(value: FieldValue) -> FieldValue:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _name(rank: int, hit: Hit, picture: bytes) -> str:
    ending = ENDINGS.get(picture_kind(picture) or "", "jpg")
    return f"{rank:03}-{_UNSAFE.sub('_', hit.id)}.{ending}"
