"""Which fields a filter names, in the language of either store."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from tasks.errors import QueryError

_PART = re.compile(
    r"'(?:[^'\\]|\\.)*'?|\"(?:[^\"\\]|\\.)*\"?"  # a text, whose words are no fields
    r"|(?<!\w)(?P<call>[^\W\d]\w*)\s*\("
    r"|(?<!\w)(?P<word>[^\W\d]\w*)"
)
_NO_NAMES: Mapping[str, str] = {}
_WORDS = frozenset(
    ("and", "or", "not", "in", "like", "is", "null", "true", "false", "contain_any", "contain_all")
)


def check_filter_fields(
    filter: str, fields: Iterable[str], other_names: Mapping[str, str] = _NO_NAMES
) -> None:
    """Raise `QueryError` if a filter names a field that there is not, with those that there are;
    `other_names` are what people may call them."""
    known = list(fields)
    for match in _PART.finditer(filter):
        word = match.group("word")
        if word is None or word in known or word.lower() in _WORDS:
            continue
        other = {**other_names, "id": "image_id"}.get(word)
        close = [other] if other in known else get_close_matches(word, known, 1)
        meant = f" (did you mean {close[0]!r}?)" if close else ""
        raise QueryError(
            f"filter {filter[:80]!r} names field {word!r}, which documents do not have{meant}: "
            f"they have {', '.join(known)}"
        )
