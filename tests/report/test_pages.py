"""Pages as text: everything is said in both languages, and nothing foreign becomes markup."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.records import HitGroup
from tasks.report.demo_page import render_demo_page
from tasks.report.evaluation_page import render_evaluation_page
from tasks.report.search_page import render_search_page
from tasks.report.wording import WORDS
from tests.report.examples import demo, evaluation, hit, hostile_search, index, search


class Outline(HTMLParser):
    """The tags, attributes and text of a page, as a browser would take them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


PAGES = {
    "search": lambda: render_search_page([search()], title="搜索"),
    "hostile": lambda: render_search_page([hostile_search()], title="搜索"),
    "demo": lambda: render_demo_page(demo()),
    "evaluation": lambda: render_evaluation_page(evaluation()),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_needs_nothing_outside_itself(name: str) -> None:
    outline = Outline(PAGES[name]())
    sources = [value for key, value in outline.attributes if key == "src"]
    assert all(str(source).startswith("data:image/") for source in sources)
    assert not any(key.startswith("on") or key == "style" for key, _ in outline.attributes)
    assert set(outline.tags).isdisjoint({"iframe", "object", "embed", "base", "form"})


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_allows_exactly_the_style_and_script_of_the_page(name: str) -> None:
    page = PAGES[name]()
    for tag, policy in (("style", "style-src"), ("script", "script-src")):
        inside = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert inside is not None
        digest = base64.b64encode(hashlib.sha256(inside.group(1).encode()).digest()).decode()
        allowed = re.search(f"{policy} &#39;sha256-([^&]*)&#39;", page)
        assert allowed is not None
        assert allowed.group(1) == digest
    assert "default-src &#39;none&#39;" in page


@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_written_as_utf_8_and_holds_no_control_characters(name: str) -> None:
    page = PAGES[name]()
    page.encode("utf-8")
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", page)


def test_lone_surrogates_do_not_stop_a_page_from_being_written() -> None:
    page = render_search_page([search("\ud800花")], title="\udfff")
    assert "\ufffd花" in page
    page.encode("utf-8")


@settings(deadline=None)
@given(text=st.text(min_size=1, max_size=60) | st.from_regex(r"[<>&\"'{}%/a-z =]{1,40}"))
def test_any_text_is_shown_as_text(text: str) -> None:
    plain = Outline(render_search_page([search("猫", 1)], title="t"))
    view = search(text, hits=(hit(1, text),), filter=text)
    outline = Outline(render_search_page([view], title=text))
    foreign = [tag for tag in outline.tags if tag not in {"mark", "code", "details", "summary"}]
    assert set(foreign) <= set(plain.tags)
    assert sorted(outline.tags).count("script") == 1
    assert sum(tag == "h1" for tag in outline.tags) == 1
    if text.isprintable():
        assert text in outline.text


def test_matching_words_are_marked() -> None:
    page = render_search_page([search("红色的连衣裙", 1)], title="t")
    assert "<mark>红色连衣裙</mark>" in page
    assert "夏天的裙子" in page


def test_a_search_tells_how_it_was_made() -> None:
    outline = Outline(render_search_page([search(filter="image_id < 9")], title="t"))
    for words in ("语义 80%，关键词 20%", "取前 10 条，找到 6 条", "模型 28 ms", "image_id < 9"):
        assert words in outline.text


def test_nothing_found_says_what_to_do() -> None:
    outline = Outline(render_search_page([search("x", 0, alpha=0.0, filter="a = 1")], title="t"))
    for words in ("没有找到图片", "--filter", "--alpha", "muge status"):
        assert words in outline.text


def test_no_searches_says_what_to_do() -> None:
    assert "muge search --text" in render_search_page([], title="t")


def test_groups_have_headings_and_their_own_ranks() -> None:
    groups = (HitGroup("甲", (hit(1),)), HitGroup("乙", (hit(2),)))
    outline = Outline(render_search_page([search(hits=(), groups=groups)], title="t"))
    assert "分组：甲" in outline.text
    assert outline.attributes.count(("aria-label", "第 1 名")) == 2


def test_the_bar_is_full_for_the_best_hit_and_never_longer() -> None:
    page = render_search_page([search()], title="t")
    widths = re.findall(r'"dense" width="([\d.]+)".*?width="([\d.]+)"', page)
    totals = [float(dense) + float(sparse) for dense, sparse in widths]
    assert totals[0] == pytest.approx(100, abs=0.2)
    assert all(0 <= total <= 100.2 for total in totals)


def test_the_demo_says_what_was_done() -> None:
    outline = Outline(render_demo_page(demo()))
    expected = ("2,818", "128", "zvec:.muge/store", "图片编码", "some new stage", "90")
    for words in (
        *expected,
        "60.0%",
        "0.710",
        "99.7%",
        "留出的查询",
        "muge demo",
        "3 条数据未收录",
    ):
        assert words in outline.text


def test_the_demo_without_rejects_stages_or_searches() -> None:
    view = replace(demo(), index=replace(index(), stages={}), searches=(), commands=())
    outline = Outline(render_demo_page(view))
    assert "全部收录" in outline.text
    assert "各阶段用时" not in outline.text


def test_the_evaluation_shows_its_worst_queries() -> None:
    outline = Outline(render_evaluation_page(evaluation()))
    for words in ("下弦月", "正确图片排第 37", "结果中没有正确图片", "--alpha-sweep"):
        assert words in outline.text


def test_the_evaluation_shows_its_best_queries_and_what_it_is_against() -> None:
    outline = Outline(render_evaluation_page(evaluation()))
    for words in ("满月", "最靠前的其他图片", "只排出了正确的图片", "正确图片排第一"):
        assert words in outline.text
    for words in (
        "先前.parquet",
        "64.2%",
        "+12.6",
        "1,045",
        "< 0.001",
        "0.031",
        "随机化检验",
        "没有一条",
    ):
        assert words in outline.text
    assert "MAP@100" in render_evaluation_page(evaluation()).replace("<wbr>", "")
    bare = Outline(render_evaluation_page(replace(evaluation(), best=(), against=None)))
    for words in ("答得最好", "p 值", "先前"):
        assert words not in bare.text


def test_the_evaluation_says_how_sure_it_is_and_how_it_was_made() -> None:
    page = render_evaluation_page(evaluation())
    outline = Outline(page)
    for words in ("39.1–", "43.1", "倒数排名融合", "图 → 文的说明", "1,289", "80.0%"):
        assert words in outline.text
    for words in ("数据指纹", "cd0f796b10432278", "混合更好", "加权和（α\u00a0=\u00a00.4）"):
        assert words in outline.text
    assert outline.tags.count("polyline") == 3 + 2
    assert outline.tags.count("circle") == 2


def test_an_evaluation_without_any_of_that() -> None:
    bare = replace(
        evaluation(), intervals={}, curves={}, sweep_found=None, directions={}, breakdown=()
    )
    outline = Outline(render_evaluation_page(bare))
    assert "polyline" not in outline.tags
    assert "置信区间" not in outline.text
    assert "以图搜文" not in outline.text


def test_the_best_of_a_column_stands_out() -> None:
    page = render_evaluation_page(evaluation())
    assert re.search(r"<strong[^>]*>60\.0%</strong>", page)
    assert not re.search(r"<strong[^>]*>41\.2%</strong>", page)


@pytest.mark.parametrize("key", WORDS)
def test_both_languages_take_the_same_values(key: str) -> None:
    chinese, english = (set(re.findall(r"{(\w+)}", words)) for words in WORDS[key])
    assert chinese == english
