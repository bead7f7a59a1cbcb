"""How texts are cut and counted: the user's words, stop words and statistics of another corpus."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from tasks.download.fetch import FetchLimits, fetch
from tasks.errors import FetchError, UsageError, reason_of
from tasks.opening import read_regular
from tasks.records import Tokens
from tasks.settings import NEW_TOKENS, Settings
from tasks.sparse.bm25 import Bm25
from tasks.sparse.lexicon import DEFAULT, Lexicon, read_lexicon, simplify
from tasks.work.markers import fingerprint

CORPUS = "corpus"
LIMITS = FetchLimits(
    512 << 20, math.inf, silence_seconds=60.0, https_only=True, reach="environment"
)


@dataclass(frozen=True)
class SparseOptions:
    """Everything beside the texts that BM25 vectors depend on.

    `place` is a file or https address of statistics in DashText's format ("" where the documents
    themselves are counted), `sha256` the hash that it must have.
    """

    lexicon: Lexicon = DEFAULT
    place: str = ""
    sha256: str = ""

    def fingerprint(self) -> dict[str, str]:
        """What differs from what every version made at first, for the names of outputs; {} if
        nothing does."""
        changed = self.lexicon.said()
        words = {"lexicon": fingerprint(**changed)} if changed else {}
        return {**words, "statistics": self.sha256} if self.place else words

    @property
    def of_files(self) -> SparseOptions:
        """What of it files say: words, stop words and statistics."""
        return replace(self, lexicon=replace(self.lexicon, tokens="words", simplified=False))

    def statistics(self) -> Bm25:
        """The statistics at `place`; raises `UsageError` if they cannot be had or used."""
        content = _content(self.place)
        if (sha256 := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise UsageError(
                f"the BM25 statistics {self.place} have SHA-256 {sha256}, expected {self.sha256}; "
                f"they were changed, or MUGE_BM25_SHA256 is of another file"
            )
        return parse_statistics(content, self.lexicon, self.place, sha256)


COUNT_THE_DOCUMENTS = SparseOptions()


def sparse_options(settings: Settings) -> SparseOptions:
    """The options of a run, their files read and hashed; raises `UsageError` if one is unusable.

    An address needs https and a hash to hold it to; it is fetched only when it is needed.
    """
    lexicon = _lexicon(settings)
    place, pinned = settings.bm25, (settings.bm25_sha256 or "").lower()
    if place == CORPUS:
        return SparseOptions(lexicon)
    if not _is_address(place):
        return SparseOptions(lexicon, place, pinned or hashlib.sha256(_read(place)).hexdigest())
    if urlsplit(place).scheme != "https":
        raise UsageError(f"the BM25 statistics {place} are fetched by https only")
    if not pinned:
        raise UsageError(
            f"the BM25 statistics {place} need MUGE_BM25_SHA256: the SHA-256 that the file must "
            f"have; fetch it once, look at it, and run sha256sum on it"
        )
    return SparseOptions(lexicon, place, pinned)


def _lexicon(settings: Settings) -> Lexicon:
    counted = settings.bm25 == CORPUS
    if settings.tokens in ("chars", "both") and not counted:
        raise UsageError(
            f"tokens {settings.tokens} cannot be weighed by the BM25 statistics {settings.bm25}, "
            f"which count words: use --tokens words, or MUGE_BM25={CORPUS}"
        )
    tokens: Tokens = NEW_TOKENS if counted else "words"
    simplified = counted if settings.simplified == "auto" else settings.simplified == "yes"
    lexicon = replace(
        read_lexicon(settings.user_dictionary, settings.stop_words),
        tokens=tokens if settings.tokens == "auto" else settings.tokens,
        simplified=simplified,
    )
    if not simplified:
        return lexicon
    stop = lexicon.stop_words
    return replace(
        lexicon,
        words=frozenset(map(simplify, lexicon.words)),
        stop_words=None if stop is None else frozenset(map(simplify, stop)),
    )


def parse_statistics(content: bytes, lexicon: Lexicon, place: str, sha256: str) -> Bm25:
    """Statistics as DashText saves them, such as its own Chinese model.

    DashText counts occurrences, not documents, so that a count can be larger than the number of
    documents and a weight negative: counts are held to 1..documents. Its keys are hashes of words
    as they were spelled there; words that it folded otherwise count as unknown. Raises
    `UsageError` for anything else.
    """
    try:
        saved: Any = json.loads(content)
        documents, mean = int(saved["_doc_count"]), float(saved["_doc_length_average"])
        counts = {str(int(k)): int(v) for k, v in saved["_doc_token_frequency"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"the BM25 statistics {place} are not in DashText's format: {type(error).__name__} "
            f"{reason_of(error)}"
        ) from None
    if documents < 1 or not 0 < mean < 1e9:
        raise UsageError(
            f"the BM25 statistics {place} cannot be used: {documents} documents of {mean} words"
        )
    held = {key: min(max(counts[key], 1), documents) for key in sorted(counts)}
    return Bm25(held, documents, mean, lexicon, f"sha256:{sha256}")


def _is_address(place: str) -> bool:
    return "://" in place


def _content(place: str) -> bytes:
    return _fetch(place) if _is_address(place) else _read(place)


def _read(path: str) -> bytes:
    try:
        return read_regular(path, LIMITS.max_bytes)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"the BM25 statistics {path} cannot be read: {reason}; give a file, an https "
            f"address, or {CORPUS}"
        ) from None


def _fetch(url: str) -> bytes:
    """The bytes at an https address, its certificate verified; redirects stay on https."""
    try:
        return fetch(url, LIMITS)
    except FetchError as error:
        raise UsageError(f"the BM25 statistics {url} cannot be fetched: {error}") from None
