"""The download stage: what a data set's addresses give, kept in the work folder."""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tasks.dataset.reader import Reader
from tasks.download.answers import Answer, Wanted, is_gone, lasts
from tasks.download.fetch import FetchLimits
from tasks.downloaded.keeping import PartsWriter, is_unfinished, recover
from tasks.downloaded.kept import Kept, KeptPicture, find_parts, remove_part, sound_parts
from tasks.free import free_bytes
from tasks.settings import Settings
from tasks.work.folder import Folder
from tasks.work.rejects import storable
from tasks.work.scratch import scratch_table

if TYPE_CHECKING:
    from tasks.download.many import Crowd

Ask = Literal["missing", "failed", "all"]
"""Which addresses are asked: those of which nothing is kept and that may answer by now; also those
that answered for good that they have nothing; or all, whether they have something new."""

REDIRECTS = 5
TYPICAL = 100
"""Pictures whose sizes tell those of the others."""
ROWS_A_SIGN = 1000
_log = logging.getLogger(__name__)
_TABLE = """
CREATE TABLE addresses (address TEXT UNIQUE, state TEXT, etag TEXT, modified TEXT, hash TEXT,
                        cause TEXT, reason TEXT);
"""
_WANTED, _KEPT = "wanted", "kept"


@dataclass(frozen=True, slots=True)
class Downloads:
    """What became of a data set's addresses: `fetched` just now; `kept` from before, of which
    `unchanged` were asked again and have nothing new, and `stale` gave no picture when they were;
    `failed` by cause, an HTTP status or a short reason. `bytes` were fetched. `parts` is the number
    of the next part that would be written: another one says that other bytes are kept.
    `left` were not asked, as the run was stopped by its limit.
    """

    fetched: int = 0
    kept: int = 0
    unchanged: int = 0
    stale: int = 0
    failed: Mapping[str, int] = field(default_factory=dict, hash=False)
    bytes: int = 0
    parts: int = 0
    left: int = 0


def download_pictures(
    reader: Reader,
    work: Folder,
    settings: Settings,
    ask: Ask,
    start: Callable[[int], None],
    advance: Callable[[int], None],
    retried: Callable[[], None] = lambda: None,
    enough: Callable[[], bool] = lambda: False,
) -> Downloads:
    """Ask the addresses of a data set that `ask` says, and keep what they give.

    Goes on where a killed run stopped, and downloads what is torn anew. `start` is told how many
    addresses are asked, `advance` of those that are through, `retried` of each that is asked
    again; no more are once `enough` says so. Raises `WorkFolderError`.
    """
    from tasks.download.many import fetch_many  # slow to load, and most runs fetch nothing

    recover(work)
    number = _next_part(work)  # of those that are torn too: no number means other bytes later
    kept = _sound(work)
    with scratch_table("addresses", _TABLE) as table:
        asked = _Asked(table)
        asked.fill(reader, kept, settings, ask, advance)
        start(asked.count)
        tally, through = _Tally(), 0
        if asked.count:
            seconds, largest = settings.checkpoint_seconds, settings.max_image_bytes
            crowd = replace(_crowd(settings), retried=retried)
            answers = fetch_many(asked.wanted(tally), _limits(settings), crowd)
            with (
                closing(answers),
                PartsWriter(work, number, seconds, largest) as parts,
            ):
                for answer in answers:
                    if answer is not None and tally.count(answer):
                        parts.add(answer)
                        if tally.fetched == TYPICAL:
                            _warn_of_little_room(work, tally.bytes / TYPICAL, asked.count - TYPICAL)
                    parts.keep_if_late()
                    through += answer is not None
                    advance(int(answer is not None))
                    if enough():
                        break
            number = parts.next
        return replace(asked.downloads(tally, number), left=asked.count - through)


def _warn_of_little_room(work: Folder, size: float, left: int) -> None:
    place = Path(work.path(""))
    if work.is_local and (free := free_bytes(place)) < size * left:
        _log.warning(
            "the %d pictures still to be downloaded will take about %.1f GB, as those so far, and "
            "%s has %.1f GB free; what is downloaded is kept",
            left,
            size * left / 1e9,
            place,
            free / 1e9,
        )


def all_downloaded(reader: Reader, work: Folder, settings: Settings, ask: Ask) -> Downloads | None:
    """What is kept of a data set's addresses, if none needs to be asked; changes nothing."""
    if ask == "all" or is_unfinished(work):
        return None
    parts = find_parts(work)
    if sound_parts(work, parts) != parts:
        return None
    with scratch_table("addresses", _TABLE) as table:
        asked = _Asked(table)
        asked.fill(reader, Kept(work, parts), settings, ask, lambda _: None)
        if asked.count:
            return None
        return asked.downloads(_Tally(), _next_part(work))


def _next_part(work: Folder) -> int:
    return max(find_parts(work), default=-1) + 1


def _sound(work: Folder) -> Kept:
    """What is kept; parts that are torn, and those of which nothing counts, are deleted."""
    parts = find_parts(work)
    sound = sound_parts(work, parts)
    for part in set(parts) - set(sound):
        remove_part(work, part)
    kept = Kept(work, sound)
    for part in kept.unused_parts():
        remove_part(work, part)
    return kept


class _Asked:
    """The addresses of a data set, each once, with what is kept of them."""

    def __init__(self, table: sqlite3.Connection) -> None:
        self._table = table
        self.count = 0

    def fill(
        self,
        reader: Reader,
        kept: Kept,
        settings: Settings,
        ask: Ask,
        advance: Callable[[int], None],
    ) -> None:
        """Read all rows; `advance` is called now and then, with 0."""
        for number, address in enumerate(_addresses(reader)):
            if number % ROWS_A_SIGN == 0:
                advance(0)
            known = kept.find(address)
            said = known or _NOTHING
            state = _WANTED if _is_wanted(known, settings, ask) else said.cause or _KEPT
            self.count += self._table.execute(
                "INSERT OR IGNORE INTO addresses VALUES (?, ?, ?, ?, ?, ?, ?)",
                (address, state, said.etag, said.modified, said.hash, said.cause, said.reason),
            ).rowcount * (state == _WANTED)

    def wanted(self, tally: _Tally) -> Iterator[Wanted]:
        """Those that are to be asked, in the order of the rows; what is kept of each is told."""
        rows = self._table.execute(
            "SELECT address, etag, modified, hash, cause, reason FROM addresses "
            "WHERE state = ? ORDER BY rowid",
            (_WANTED,),
        )
        for address, etag, modified, *before in rows:
            tally.before[address] = (*before, etag, modified)
            yield Wanted(address, etag, modified)

    def downloads(self, tally: _Tally, parts: int) -> Downloads:
        """What became of all of them."""
        states = "SELECT state, count(*) FROM addresses WHERE state != ? GROUP BY state"
        others = Counter(dict(self._table.execute(states, (_WANTED,)).fetchall()))
        kept = others.pop(_KEPT, 0) + tally.unchanged + tally.stale
        return Downloads(
            fetched=tally.fetched,
            kept=kept,
            unchanged=tally.unchanged,
            stale=tally.stale,
            failed=dict((tally.failed + others).most_common()),
            bytes=tally.bytes,
            parts=parts,
        )


_NOTHING = KeptPicture(0, 0, 0, "")


def _addresses(reader: Reader) -> Iterator[str]:
    """The addresses of the rows that can become images, again and again."""
    for span in reader.spans():
        for row in reader.read(span):
            if row.address and row.defect is None and row.image_id is not None:
                yield storable(row.address)


def _is_wanted(known: KeptPicture | None, settings: Settings, ask: Ask) -> bool:
    if known is None or ask == "all":
        return True
    if not known.cause:
        return False
    if known.cause == "too_large" and known.size < settings.max_image_bytes:
        return True
    if known.cause == "refused" and settings.download_private:
        return True
    return ask == "failed" or not lasts(known.cause)


class _Tally:
    """Counts answers, and says which of them are new; `before` has hash, cause, reason, ETag and
    Last-Modified of what is kept of the addresses that are under way."""

    def __init__(self) -> None:
        self.before: dict[str, tuple[str, ...]] = {}
        self.fetched = self.unchanged = self.stale = self.bytes = 0
        self.failed: Counter[str] = Counter()

    def count(self, answer: Answer) -> bool:
        """Whether an answer says something that is not kept yet."""
        before, cause, reason, *marks = self.before.pop(answer.address)
        self.bytes += len(answer.content or b"")
        if before and answer.cause and not is_gone(answer.cause):
            self.stale += 1  # it may be there again: what is kept of it counts meanwhile
            return False
        if answer.cause:
            self.failed[answer.cause] += 1
            return (answer.cause, answer.reason) != (cause, reason)
        if answer.content is None or answer.hash == before:
            self.unchanged += 1
            said = [answer.etag, answer.modified]
            return answer.content is not None and any(said) and said != marks
        self.fetched += 1
        return True


def ask_some(addresses: Iterable[str], settings: Settings) -> dict[str, Answer]:
    """What some addresses give, by address; nothing is kept of it."""
    from tasks.download.many import fetch_many

    wanted = map(Wanted, dict.fromkeys(addresses))
    found = fetch_many(wanted, _limits(settings), _crowd(settings))
    return {answer.address: answer for answer in found if answer is not None}


def _crowd(settings: Settings) -> Crowd:
    from tasks.download.many import Crowd

    return Crowd(settings.download_at_once, settings.download_per_host, settings.download_retries)


def _limits(settings: Settings) -> FetchLimits:
    return FetchLimits(
        max_bytes=settings.max_image_bytes,
        seconds=settings.download_seconds,
        silence_seconds=settings.download_silence_seconds,
        redirects=REDIRECTS,
        reach="private" if settings.download_private else "public",
        any_port=True,
    )
