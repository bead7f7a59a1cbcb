"""The runbook: Prefect's data base is lost, with it the aliases of DashVector, its Variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backup.runbook import follow, hits, muge, refused
from tests.servers.dashvector import DashVectorServer
from tests.servers.prefect import prefect_server
from tests.shop import make_pictures


@pytest.mark.slow
def test_prefects_data_base_is_lost(
    dashvector_server: DashVectorServer,
    tmp_path: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHVECTOR_API_KEY", dashvector_server.api_key)
    monkeypatch.setenv("DASHVECTOR_ENDPOINT", dashvector_server.endpoint)
    for name, value in (("MODEL", model), ("ORCHESTRATOR", "none"), ("STORE", "dashvector:")):
        monkeypatch.setenv(f"MUGE_{name}", value)
    pictures = make_pictures(tmp_path / "pictures", 14)
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    words = ("reindex", "folder:pictures", "--collection", "shop", "--strategy", "blue-green")
    with prefect_server(tmp_path / "first") as address:
        monkeypatch.setenv("PREFECT_API_URL", address)
        for name in ("1.png", "2.png"):
            (pictures / name).write_bytes((pictures / "9.png").read_bytes())
            muge(*words)
        assert not list(tmp_path.rglob("aliases/*"))
        before = hits()
    with prefect_server(tmp_path / "second") as address:  # an empty data base
        monkeypatch.setenv("PREFECT_API_URL", address)
        assert hits() == before
        assert "muge alias adopt" in refused(*words)
        shown, adopted, deployed = follow("Prefect's data base is lost")
        assert shown.startswith("shop -> shop-2")
        assert adopted.startswith("shop -> shop-2, before: shop-1")
        assert "reindex_dataset/reindex" in deployed
        assert hits() == before
        (pictures / "5.png").write_bytes((pictures / "8.png").read_bytes())
        assert "shop-3" in muge(*words)
        assert "shop -> shop-3" in muge("alias", "show", "--collection", "shop")
