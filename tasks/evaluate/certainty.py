"""How near the best picture comes when there is a right one: below that, a search says so.

The nearest picture of anything is shown, also to those who ask for what is not there. The queries
of a collection itself say how near the best one usually is, by meaning alone: texts of the
documents take no part, so a query's own text cannot help it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.evaluate.gallery import Gallery
from tasks.evaluate.judgements import Judgement
from tasks.records import Float32
from tasks.work.collections import Certainty

REFUSED = 0.05
"""The share of good queries whose best picture is farther than the threshold."""


def measure_certainty(
    made_of: str, gallery: Gallery, judged: Sequence[Judgement], vectors: Float32
) -> Certainty:
    """The cosine that the best picture of all but 5 % of these queries, with their vectors (Q, D),
    reaches, and which share of the same queries would be below it if their right pictures were not
    there."""
    best = np.full(len(judged), -1.0, np.float32)
    others = best.copy()
    for ids, pictures in gallery.pictures():
        places = {image: number for number, image in enumerate(ids)}
        scores = vectors @ pictures.T
        best = np.maximum(best, scores.max(axis=1, initial=-1.0))
        for row, judgement in enumerate(judged):
            scores[row, [places[image] for image in judgement.relevant if image in places]] = -1.0
        others = np.maximum(others, scores.max(axis=1, initial=-1.0))
    threshold = float(np.quantile(best, REFUSED))
    caught = float((others < threshold).mean())
    return Certainty(made_of, threshold, len(judged), REFUSED, caught)
