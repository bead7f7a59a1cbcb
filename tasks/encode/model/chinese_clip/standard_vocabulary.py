"""The vocabulary of every published Chinese-CLIP: for checkpoints that come without their own.

`vocab.txt.xz` is BERT's Chinese vocabulary (21,128 words; Apache License 2.0), as cn_clip has it.
"""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

from tasks.errors import ModelError

SHA256 = "45bbac6b341c319adc98a532532882e91a9cefc0329aa57bac9ae761c27b291c"
"""Of the file `vocab.txt`, as it is published."""
_FILE = Path(__file__).with_name("vocab.txt.xz")


def standard_vocabulary() -> bytes:
    """The file `vocab.txt`: a word a line; raises `ModelError` if the package's copy is another."""
    try:
        content = lzma.decompress(_FILE.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise ModelError(f"{_FILE} cannot be read ({error}); install muge-search again") from None
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise ModelError(f"{_FILE} is not the vocabulary it should be; install muge-search again")
    return content


def standard_words() -> list[str]:
    """The words by token id; errors as `standard_vocabulary`."""
    lines = standard_vocabulary().decode("utf-8").removesuffix("\n").split("\n")
    return [line.strip() for line in lines]
