"""What tasks/sparse/segmenter.py knows of Chinese, written anew from DashText's own files.

python -m tests.sparse.segmenter_data          where DashText is installed

`words.txt.xz`: the sum of all frequencies, then a line a frequency: it and the words that have it.
`characters.txt.xz`: jieba's hidden Markov model as it is, less its comments.
"""

from __future__ import annotations

import lzma
from collections import defaultdict
from pathlib import Path

import tasks.sparse

PLACE = Path(tasks.sparse.__file__).parent


def dashtext_folder() -> Path:
    """Where DashText keeps jieba's dictionary."""
    import dashtext

    return Path(dashtext.__file__).parent / "tokenizer" / "data" / "jieba"


def words(folder: Path) -> str:
    """The content of words.txt; a user's word without a frequency has the median one."""
    rows = [line.split() for line in _lines(folder / "dict.txt.big")]
    counts = sorted(int(row[1]) for row in rows)
    frequencies = {row[0]: int(row[1]) for row in rows}
    for row in map(str.split, _lines(folder / "user_dict.txt")):
        frequencies[row[0]] = int(row[1]) if len(row) == 3 else counts[len(counts) // 2]
    having: dict[int, list[str]] = defaultdict(list)
    for word in sorted(frequencies):
        having[frequencies[word]].append(word)
    lines = (f"{frequency} {' '.join(having[frequency])}\n" for frequency in sorted(having))
    return f"{sum(counts)}\n{''.join(lines)}"


def characters(folder: Path) -> str:
    """The content of characters.txt."""
    lines = _lines(folder / "hmm_model.txt")
    return "".join(f"{line}\n" for line in lines if not line.startswith("#"))


CONTENTS = {"words.txt.xz": words, "characters.txt.xz": characters}


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").split("\n") if line.strip()]


def main() -> None:
    """Write both files."""
    for name, content in CONTENTS.items():
        made = lzma.compress(content(dashtext_folder()).encode(), preset=9 | lzma.PRESET_EXTREME)
        (PLACE / name).write_bytes(made)
        print(f"{PLACE / name}: {len(made):,} bytes")


if __name__ == "__main__":
    main()
