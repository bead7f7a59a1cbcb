"""The table of simplified characters, written anew from OpenCC's.

python -m tests.sparse.simplified_data          where the extra [sample] is installed

`simplified.txt.xz`: a line of traditional characters, and one of their simplified ones in order;
characters that stay as they are, and those that become several, are left out.
"""

from __future__ import annotations

import lzma
from pathlib import Path

import tasks.sparse

PLACE = Path(tasks.sparse.__file__).parent / "simplified.txt.xz"


def table(lines: list[str]) -> str:
    """The content of simplified.txt, of OpenCC's TSCharacters.txt."""
    pairs = {}
    for line in lines:
        traditional, _, several = line.partition("\t")
        simplified = several.split(" ")[0]
        if len(traditional) == len(simplified) == 1 and traditional != simplified:
            pairs[traditional] = simplified
    # one that becomes another traditional one becomes what that does
    pairs = {traditional: pairs.get(then, then) for traditional, then in pairs.items()}
    return f"{''.join(pairs)}\n{''.join(pairs.values())}\n"


def main() -> None:
    """Write the file."""
    import opencc

    place = Path(opencc.__file__).parent / "dictionary" / "TSCharacters.txt"
    content = table(place.read_text("utf-8").splitlines())
    made = lzma.compress(content.encode(), preset=9 | lzma.PRESET_EXTREME)
    PLACE.write_bytes(made)
    print(f"{PLACE}: {len(made):,} bytes")


if __name__ == "__main__":
    main()
