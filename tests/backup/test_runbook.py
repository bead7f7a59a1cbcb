"""The runbook: a store, a work folder or both are lost, and the page's commands bring them back."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.context import Context
from tests.backup.runbook import follow, hits, muge, refused
from tests.servers.dashvector import DashVectorServer
from tests.shop import make_pictures


@dataclass(frozen=True)
class Shop:
    """A folder with pictures, an export, and `shop-1` and `shop-2` behind the alias `shop`."""

    folder: Path
    store: str

    def lose_store(self) -> None:
        if self.store == "dashvector:":
            with Context() as context:
                for name in context.store(self.store).collections():
                    context.store(self.store).drop(name)
        else:
            shutil.rmtree(self.folder / ".muge" / "store")

    def lose_work(self) -> None:
        shutil.rmtree(self.folder / ".muge" / "work")

    def change(self) -> None:
        """The data go on changing after the export."""
        pictures = self.folder / "pictures"
        (pictures / "5.png").write_bytes((pictures / "8.png").read_bytes())


@pytest.fixture(params=["zvec", "dashvector"])
def shop(
    request: pytest.FixtureRequest, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> Shop:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MUGE_MODEL", model)
    monkeypatch.setenv("MUGE_ORCHESTRATOR", "none")
    monkeypatch.setenv("MUGE_SHARD_IMAGES", "10")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    store = "zvec:.muge/store"
    if request.param == "dashvector":
        server: DashVectorServer = request.getfixturevalue("dashvector_server")
        monkeypatch.setenv("DASHVECTOR_API_KEY", server.api_key)
        monkeypatch.setenv("DASHVECTOR_ENDPOINT", server.endpoint)
        # other tests import it, and then a server would be started to look for a quota
        monkeypatch.delitem(sys.modules, "prefect", raising=False)
        store = "dashvector:"
    monkeypatch.setenv("MUGE_STORE", store)
    pictures = make_pictures(tmp_path / "pictures", 14)
    for name in ("1.png", "2.png"):
        (pictures / name).write_bytes((pictures / "9.png").read_bytes())
        muge("reindex", "folder:pictures", "--collection", "shop", "--strategy", "blue-green")
    muge("export", "shop", "backup/shop")
    return Shop(tmp_path, store)


def goes_on(shop: Shop) -> None:
    """Searches, checks and the next new collection work as they did."""
    assert "14 documents" in muge("verify", "shop", "--full")
    shop.change()
    words = ("reindex", "folder:pictures", "--collection", "shop", "--strategy", "blue-green")
    assert "shop-3" in muge(*words)
    assert "shop -> shop-3" in muge("alias", "show", "--collection", "shop")


@pytest.mark.thorough
def test_the_store_is_lost(shop: Shop) -> None:
    before = hits()
    shop.lose_store()
    assert "shop" in refused("search", "--text", "包", "--collection", "shop")
    repaired, adopted, reindexed = follow("The store is lost")
    assert "shop-2: 14 documents sent" in repaired
    assert adopted.startswith("shop -> shop-2")
    assert hits() == before
    assert "0 documents sent, 0 deleted, 0 images encoded" in reindexed
    goes_on(shop)


@pytest.mark.gate("zvec")
def test_the_work_folder_is_lost(shop: Shop) -> None:
    before = hits()
    shop.lose_work()
    assert "has no record" in refused("search", "--text", "包", "--collection", "shop")
    assert "there already" in refused("import", "backup/shop")
    imported, adopted, _ = follow("The work folder is lost")
    assert "shop-2: 14 documents sent" in imported
    assert adopted.startswith("shop -> shop-2")
    assert hits() == before
    goes_on(shop)


@pytest.mark.thorough
def test_both_are_lost_and_the_data_went_on_changing(shop: Shop) -> None:
    before = hits()
    shop.lose_store()
    shop.lose_work()
    shop.change()
    imported, _, reindexed = follow("Both are lost")
    assert "It was exported as 'shop': muge alias adopt shop-2 --collection shop" in imported
    assert "1 documents sent, 0 deleted, 0 images encoded" in reindexed
    assert len(hits()) == len(before) > 0
    assert "14 documents" in muge("verify", "shop", "--full")
