"""Another process whose disk becomes full while it writes to the embedded store, which may kill it:
`python -m tests.index.filling_disk index|reindex OPTIONS DATASET`, with options as JSON."""

from __future__ import annotations

import json
import math
import sys

from tasks.errors import StoreFullError, StoreSetBackError
from tasks.index import room
from tasks.store.zvec import disk
from tests.plain import index_dataset, reindex_dataset

FULL = 9


def main() -> None:
    """Nobody looks for room before it is written to."""
    action, options, dataset = sys.argv[1:]
    vars(room)["free_bytes"] = lambda path: math.inf
    disk.RESERVE = -(1 << 40)
    try:
        (index_dataset if action == "index" else reindex_dataset)(dataset, **json.loads(options))
    except (StoreFullError, StoreSetBackError) as error:
        print(error, file=sys.stderr)
        sys.exit(FULL)


if __name__ == "__main__":
    main()
