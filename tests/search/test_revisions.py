"""A model of a revision that was asked for is the one that encodes, searches and is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.hub import Hub

SCRIPT = """
import json, sys
from tasks.context import Context
from tasks.evaluate.asked import encode_queries
from tasks.evaluate.gallery import open_gallery
from tasks.evaluate.judgements import Judgement
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import load_settings
from tests.search.library import build

home, pictures = sys.argv[1:]
settings = load_settings(home=home, model="owner/tiny@v1", device="cpu")
with Context() as context:
    _, record = build(context, f"folder:{pictures}", settings)
    searcher = open_searcher(context, settings)
    hit = searcher.search(Question(image=f"{pictures}/3.png", alpha=1.0)).hits[0]
    gallery = open_gallery(context, settings)
    asked = encode_queries(gallery, [Judgement("1", "帽子", frozenset())], settings)
print(json.dumps([record.model.name, record.model.revision, hit.fields["image_id"],
                  len(asked.vectors.dense)]))
"""


@pytest.mark.thorough
def test_a_revision_is_kept_from_the_index_to_the_search(
    model: Path, pictures: Path, tmp_path: Path
) -> None:
    with Hub() as hub:
        hub.add_model("owner/tiny", model, "v1")
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / "home"), str(pictures)],
            env={**os.environ, **hub.environment(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["owner/tiny", "v1", 3, 1]
