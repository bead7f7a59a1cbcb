"""Good and bad examples, changed a little: the inputs that find what nobody thought of."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

Edit = tuple[str, float, float, bytes]
_VERBS = ("put", "insert", "cut", "repeat", "move", "end")


def mutated(seeds: Sequence[bytes], most: int = 6) -> st.SearchStrategy[bytes]:
    """A seed with up to `most` edits: bytes put, inserted, cut out, repeated, moved, or the end cut
    off; places and lengths as shares of what is there."""
    share = st.floats(0, 1, allow_nan=False)
    pieces = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(_TOKENS))
    edit = st.tuples(st.sampled_from(_VERBS), share, share, pieces)
    return st.builds(_edited, st.sampled_from(seeds), st.lists(edit, max_size=most))


_TOKENS = (
    *(
        b"\0",
        b"\xff",
        b"\x7f",
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\x7f\xff\xff\xff",
        b"\n",
        b"\r\n",
    ),
    *(
        b'"',
        b"\\",
        b"{",
        b"[" * 200,
        b"}",
        b",",
        b"\t",
        b"null",
        b"-1",
        b"1e999",
        b"NaN",
        b"9" * 50,
    ),
    *("\ufeff".encode(), b"\xed\xa0\x80", b"\xff\xda", b"\xff\xd8", b"(" * 50, b"' or '1'='1"),
)


def _edited(seed: bytes, edits: Sequence[Edit]) -> bytes:
    content = seed
    for verb, where, length, piece in edits:
        at = int(where * len(content))
        stop = at + int(length * length * (len(content) - at))
        match verb:
            case "put":
                content = content[:at] + piece + content[at + len(piece) :]
            case "insert":
                content = content[:at] + piece + content[at:]
            case "cut":
                content = content[:at] + content[stop:]
            case "repeat":
                content = content[:stop] + content[at:stop] + content[stop:]
            case "move":
                content = content[stop:] + content[at:stop] + content[:at]
            case "end":
                content = content[:at]
    return content[: 4 << 20]
