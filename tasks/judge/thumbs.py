"""Thumbs up and down on hits, one small file each in the work folder.

A file appears whole or not at all and is never written again, so that a kill loses none that was
answered, and object storage needs no file that grows. Its name is the thumb's id: the same one is
never read twice.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import cached_property

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.dataset.reader import stable_id
from tasks.errors import FileMissingError, WorkFolderError
from tasks.names import check_name
from tasks.records import DOCUMENT_ID
from tasks.settings import Fusion, Place
from tasks.work.collections import place_of
from tasks.work.folder import Folder

FOLDER = "judgements"
READ_AT_ONCE = 16
UP, TAKEN_BACK, DOWN = 1, 0, -1


class Thumb(BaseModel):
    """What one person said of one picture for one query.

    `grade` is 1 (thumb up), -1 (thumb down) or 0 (taken back). `time` is UTC in ISO 8601, `user` a
    number that stands for a browser, or a name that a proxy gave. `document` was shown as hit
    `rank` (from 1) of the search that alpha, fusion, filter and topk tell; it is the document of
    picture `image` in `collection`, which was `made_of` this then.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(pattern="^[0-9A-Za-z-]{1,64}$")
    time: str
    user: str
    query: str
    query_id: str
    document: str
    image: str = Field(pattern=f"^{DOCUMENT_ID.pattern}$")
    grade: int = Field(ge=DOWN, le=UP)
    rank: int | None = None
    alpha: float | None = None
    fusion: Fusion | None = None
    filter: str | None = None
    topk: int | None = None
    collection: str
    made_of: str

    def line(self) -> str:
        """As a line of JSON, without its end."""
        return self.model_dump_json()


class Thumbs:
    """The thumbs of a collection's name in a store, whichever collection it means by and by."""

    def __init__(self, work: Folder, store: str, name: str) -> None:
        self._work = work
        self._of = store, name
        self._lock = threading.Lock()
        self._last = datetime.min.replace(tzinfo=UTC)

    @property
    def address(self) -> str:
        """Where they lie, as the file system says it."""
        return self._work.path(self._place)

    def stamp(self) -> tuple[str, str]:
        """An id that nobody else has, and the time of it: later than all that were given here."""
        with self._lock:
            now = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
            self._last = now
        time = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        return f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(6)}", time

    def keep(self, thumb: Thumb) -> None:
        """Write one; it is on the disk when this returns. Raises `WorkFolderError`."""
        day = thumb.time[:10]
        with self._work.writing(f"{self._place}/{day}/{thumb.id}.json") as file:
            file.write(thumb.line().encode() + b"\n")

    def read(self) -> list[Thumb]:
        """All of them, the oldest first; raises `WorkFolderError` naming a file that is none."""
        files = [name for name in self._work.find(self._place) if name.endswith(".json")]
        with ThreadPoolExecutor(READ_AT_ONCE) as threads:  # each is a wait on object storage
            read = [thumb for thumb in threads.map(self._read, files) if thumb is not None]
        return sorted(read, key=lambda thumb: (thumb.time, thumb.id))

    def other_names(self) -> list[str]:
        """Other names in the store that have thumbs."""
        store, name = self._place.rsplit("/", 1)
        files = self._work.find(store)
        found = {file.removeprefix(f"{store}/").split("/")[0] for file in files}
        return sorted(found - {name})

    @cached_property
    def _place(self) -> str:
        store, name = self._of
        return f"{FOLDER}/{place_of(self._work, store, check_name(name))}"

    def _read(self, file: str) -> Thumb | None:
        try:
            return Thumb.model_validate_json(self._work.read_bytes(file))
        except FileMissingError:  # somebody tidies up
            return None
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
            raise WorkFolderError(
                f"{self._work.url}/{file} is no judgement ({what}); mend it, or take it away",
                may_pass=False,
            ) from None


def thumbs_of(place: Place) -> Thumbs:
    """The thumbs of the collection that the settings name."""
    return Thumbs(Folder(place.work_url), place.store_uri, place.collection)


def query_id_of(query: str) -> str:
    """The id of a query that has none of its own: a text has the same one everywhere."""
    return str(stable_id(query))


def lines_of(thumbs: Sequence[Thumb]) -> str:
    """Thumbs as JSON lines."""
    return "".join(f"{thumb.line()}\n" for thumb in thumbs)
