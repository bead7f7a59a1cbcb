"""What a query's text must be to be kept."""

from __future__ import annotations

import unicodedata

from tasks.errors import QueryTextError


def clean_query(text: str) -> str:
    """The text with control characters (NUL too) as spaces and white space collapsed.

    Raises `QueryTextError` for a lone surrogate, which no file or index can hold, and for a text
    with nothing in it. Length is not limited: the model reads the first 50 word pieces, BM25 all.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        surrogate = text[error.start]
        raise QueryTextError(
            "invalid_unicode", f"the query has the lone surrogate U+{ord(surrogate):04X}"
        ) from None
    visible = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    kept = " ".join(visible.split())
    if all(unicodedata.category(c) in ("Cf", "Zs") for c in kept):  # zero-width only is nothing
        raise QueryTextError("empty_query", "the query has no text")
    return kept
