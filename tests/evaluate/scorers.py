"""What trec_eval makes of a run and judgements, by ir_measures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ir_measures
from ir_measures import AP, RR, Success, nDCG

MEASURES: dict[str, Any] = {
    "R@1": Success @ 1,
    "R@5": Success @ 5,
    "R@10": Success @ 10,
    "R@100": Success @ 100,
    "nDCG@10": nDCG @ 10,
    "MAP@100": AP @ 100,
    "MRR": RR,
}
_untyped: Any = ir_measures


def by_trec_eval(run: str | Path, qrels: str | Path) -> dict[str, float]:
    """Means over all queries of the judgements, by trec_eval's own code."""
    provider = _untyped.providers.registry["pytrec_eval"]
    found = provider.calc_aggregate(
        list(MEASURES.values()),
        list(_untyped.read_trec_qrels(str(qrels))),
        list(_untyped.read_trec_run(str(run))),
    )
    return {name: found[measure] for name, measure in MEASURES.items()}
