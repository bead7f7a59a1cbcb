"""How texts are cut and counted: the user's words, stop words and statistics of another corpus."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.errors import UsageError
from tasks.settings import Settings
from tasks.sparse.bm25 import Bm25
from tasks.sparse.lexicon import DEFAULT, Lexicon, read_lexicon
from tasks.work.markers import fingerprint

MAX_BYTES = 512 << 20
MAX_REDIRECTS = 3
TIMEOUT_SECONDS = 60.0
CORPUS = "corpus"


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
        """What differs from the default, for the names of outputs; {} if nothing does."""
        said = self.lexicon.said()
        words = {"lexicon": fingerprint(**said)} if said else {}
        return {**words, "statistics": self.sha256} if self.place else words

    def statistics(self) -> Bm25:
        """The statistics at `place`; raises `UsageError` if they cannot be had or used."""
        content = _content(self.place)
        if (found := hashlib.sha256(content).hexdigest()) != self.sha256:
            raise UsageError(
                f"the BM25 statistics {self.place} have SHA-256 {found}, expected {self.sha256}; "
                f"they were changed, or MUGE_BM25_SHA256 is of another file"
            )
        return parse_statistics(content, self.lexicon, self.place, found)


COUNT_THE_DOCUMENTS = SparseOptions()


def sparse_options(settings: Settings) -> SparseOptions:
    """The options of a run, their files read and hashed; raises `UsageError` if one is unusable.

    An address needs https and a hash to hold it to; it is fetched only when it is needed.
    """
    lexicon = read_lexicon(settings.user_dictionary, settings.stop_words)
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


def parse_statistics(content: bytes, lexicon: Lexicon, place: str, sha256: str) -> Bm25:
    """Statistics as DashText saves them, such as its own Chinese model.

    DashText counts occurrences, not documents, so that a count can be larger than the number of
    documents and a weight negative: counts are held to 1..documents. Its keys are hashes of words
    as they were spelled there; words that it folded otherwise count as unknown. Raises
    `UsageError` for anything else.
    """
    try:
        said: Any = json.loads(content)
        documents, mean = int(said["_doc_count"]), float(said["_doc_length_average"])
        counts = {str(int(k)): int(v) for k, v in said["_doc_token_frequency"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"the BM25 statistics {place} are not in DashText's format: {type(error).__name__} "
            f"{error}"
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
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(
            f"the BM25 statistics {path} cannot be read: {error.strerror}; give a file, an https "
            f"address, or {CORPUS}"
        ) from None


def _fetch(url: str) -> bytes:
    """The bytes at an https address, its certificate verified; redirects stay on https."""
    import httpx

    content = bytearray()
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
            for _ in range(MAX_REDIRECTS + 1):
                with client.stream("GET", url) as response:
                    if response.next_request is not None:
                        url = _still_https(str(response.next_request.url))
                        continue
                    response.raise_for_status()
                    for chunk in response.iter_bytes():
                        content += chunk
                        if len(content) > MAX_BYTES:
                            raise UsageError(f"{url} is larger than {MAX_BYTES} bytes")
                    return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        said = str(error) or type(error).__name__
        raise UsageError(f"the BM25 statistics {url} cannot be fetched: {said}") from None
    raise UsageError(f"the BM25 statistics {url} are redirected too often")


def _still_https(url: str) -> str:
    if urlsplit(url).scheme != "https":
        raise UsageError(f"the BM25 statistics are redirected to {url}, which is not https")
    return url
