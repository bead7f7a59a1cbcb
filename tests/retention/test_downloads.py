"""Downloads that no run names any more go; what is named is never asked for again."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tasks.download.answers import Answer
from tasks.downloaded.keeping import PartsWriter
from tasks.downloaded.kept import Kept, find_parts
from tasks.retention.leftovers import DAY
from tasks.work.folder import Folder
from tasks.work.rejects import payload_hash
from tests.retention.shop import Shop

LIMIT = 1 << 20


def address(number: int) -> str:
    return f"https://shop.example/{number}.png"


def answer(number: int, content: bytes) -> Answer:
    return Answer(address(number), content, payload_hash(content), etag=f'"{number}"')


def keep(work: Folder, answers: list[Answer], parts: int = 1) -> None:
    """Write answers as a download stage does, in so many parts."""
    first = max(find_parts(work), default=-1) + 1
    with PartsWriter(work, first, 10.0, LIMIT) as writer:
        for number in range(parts):
            for each in answers[number::parts]:
                writer.add(each)
            writer.keep()


@pytest.fixture
def downloaded(toy_shop: Shop) -> Shop:
    """The pictures of the shop were downloaded once, and as many others that are in no catalog."""
    toy_shop.index()
    own = [(toy_shop.data / f"{number}.png").read_bytes() for number in toy_shop.pictures]
    others = [bytes([number]) * 5000 for number in range(20)]
    refused = Answer(address(98), cause="404", reason="not found")
    large = Answer(address(99), cause="too_large", reason="too large")
    keep(toy_shop.work, [answer(50 + number, content) for number, content in enumerate(others)], 2)
    mixed = [answer(number, content) for number, content in enumerate(own)]
    keep(toy_shop.work, [*mixed, answer(97, b"x" * 90_000), refused, large])
    keep(toy_shop.work, [answer(80 + number, content) for number, content in enumerate(own)])
    return toy_shop


def test_what_nobody_names_goes_and_the_rest_stays_as_it_was(downloaded: Shop) -> None:
    shop, work = downloaded, downloaded.work
    assert find_parts(work) == [0, 1, 2, 3]
    before = Kept(work)
    named = [before.find(address(number)) for number in range(len(shop.pictures))]
    contents = before.read([each for each in named if each is not None])
    listed = shop.prune(delete=False)
    (found,) = [each for each in listed.leftovers if each.kind == "downloads"]
    assert found.bytes == 20 * 5000 + 90_000
    assert shop.prune().leftovers == listed.leftovers

    kept = Kept(work)
    assert find_parts(work) == [3, 4]
    now = [kept.find(address(number)) for number in range(len(shop.pictures))]
    assert kept.read([each for each in now if each is not None]) == contents
    assert [each.etag for each in now if each] == [each.etag for each in named if each]
    assert [kept.find(address(number)) for number in (50, 69, 97)] == [None, None, None]
    refused, large = kept.find(address(98)), kept.find(address(99))
    assert refused is not None
    assert large is not None
    assert (refused.cause, large.cause, large.size) == ("404", "too_large", LIMIT)
    assert kept.find(address(80)) == before.find(address(80))
    assert shop.prune().leftovers == []


def test_young_ones_stay(downloaded: Shop) -> None:
    assert downloaded.prune(keep_days=1.0).leftovers == []
    later = max(file.changed for file in downloaded.work.stored()) + 2 * DAY
    kinds = {each.kind for each in downloaded.prune(keep_days=1.0, now=later).leftovers}
    assert "downloads" in kinds


def test_those_of_a_run_that_is_kept_stay(downloaded: Shop) -> None:
    downloaded.drop("muge", in_use=True)
    assert find_parts(downloaded.work) == [0, 1, 2, 3]
    downloaded.prune(keep_runs=1)
    assert find_parts(downloaded.work) == [3, 4]
    downloaded.prune()
    kept = Kept(downloaded.work)
    assert kept.find(address(0)) is None
    assert kept.find(address(98)) is not None


def test_killed_nothing_named_is_lost(downloaded: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = downloaded

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.downloaded.unneeded.remove_part", dies)
        with pytest.raises(KeyboardInterrupt):
            shop.prune()
    shop.prune()
    kept = Kept(shop.work)
    assert all(kept.find(address(number)) for number in range(len(shop.pictures)))
    assert shop.prune().leftovers == []


def test_what_a_killed_download_left_is_taken_up_first(
    local_shop: Shop,
) -> None:
    shop, work = local_shop, local_shop.work
    keep(work, [answer(1, b"nobody's" * 1000)])
    with suppress(KeyboardInterrupt), PartsWriter(work, 1, 10.0, LIMIT) as writer:
        writer.add(answer(2, b"under way" * 1000))
        raise KeyboardInterrupt
    assert work.names("downloads/open") == ["00001.bytes", "00001.jsonl"]
    shop.prune()
    assert work.names("downloads/open") == []
    kept = Kept(work)
    assert kept.find(address(1)) is None
    assert kept.find(address(2)) is not None


def test_without_downloads_nothing_is_read(toy_shop: Shop) -> None:
    toy_shop.index()
    assert toy_shop.prune().leftovers == []
