"""A run's report says what the steps of encoding did, and where they waited."""

from __future__ import annotations

from pathlib import Path

from flows.orchestration.artifacts import step_shares
from tasks.index.times import StageTimes
from tasks.work.progress import SILENT
from tests.encode.stage.parts import encode, make_pictures, patient


def test_steps_of_encoding_are_in_the_report(model: str, tmp_path: Path) -> None:
    times, pictures = StageTimes(SILENT), make_pictures(40)
    with times.stage("plan"):
        pass
    with times.stage("encode_images", 40) as made:
        done = encode(tmp_path, Path(model), pictures, patient(checkpoint=10.0))
        made(done.fresh)
    times.add_shares("encode_images", [done.seconds])
    stage = times.stages["encode_images"]
    assert {"seconds", "per_second", "read_busy", "decode_busy", "model_busy", "write_busy"} <= {
        *stage
    }
    assert 0 < stage["decode_busy"] < 8
    said = step_shares(times.stages)
    assert list(said) == ["encode_images"]
    assert "model_busy" in said["encode_images"]
    assert "per_second" not in said["encode_images"]
