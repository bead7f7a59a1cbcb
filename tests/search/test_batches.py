"""A file of questions: what a line may be, what comes back, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tasks.context import Context
from tasks.errors import QueryError, UsageError
from tasks.search.batches import read_lines, search_file
from tasks.search.questions import Question
from tasks.search.searcher import open_searcher
from tasks.settings import Settings
from tests.deployments.collection import index_folder, sample_pictures, settings_in

DEFAULTS = Question(alpha=0.8, topk=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Settings]:
    folder = tmp_path_factory.mktemp("batches")
    settings = settings_in(folder)
    index_folder(sample_pictures(folder / "pictures"), settings)
    return folder / "pictures", settings


def written(folder: Path, *lines: object) -> Path:
    path = folder / "questions.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", "utf-8")
    return path


def ask(settings: Settings, questions: Path, defaults: Question = DEFAULTS) -> list[Any]:
    out = questions.with_name("answers.jsonl")
    with Context() as context:
        report = search_file(context, settings, str(questions), str(out), defaults)
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert report.queries == len(answers)
    assert report.failed == sum("error" in answer for answer in answers)
    return answers


def test_a_batch_answers_as_single_searches_do(
    context: Context, place: tuple[Path, Settings]
) -> None:
    pictures, settings = place
    image = next(pictures.glob("*.webp")).name
    questions = written(
        pictures,
        {"text": "熊猫", "query_id": 7},
        {"query": "香蕉", "alpha": 0.3, "topk": 2},
        {"image": image},
        {"image": image, "query_text": "猫", "alpha": 0.5},
        {"like": Path(image).stem, "filter": "image_id > 100500"},
    )
    answers = ask(settings, questions)
    singles = [line.question for line in read_lines(questions, DEFAULTS)]
    searcher = open_searcher(context, settings)
    for answer, question in zip(answers, singles, strict=True):
        assert isinstance(question, Question)
        alone = searcher.search(question)
        assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in alone.hits]
        assert [hit["score"] for hit in answer["hits"]] == pytest.approx(
            [hit.score for hit in alone.hits], abs=1e-5
        )
    assert (answers[0]["line"], answers[0]["query_id"]) == (1, 7)
    assert [len(answer["hits"]) for answer in answers] == [3, 2, 3, 3, 3]


def test_what_cannot_be_answered_is_said_in_its_line(place: tuple[Path, Settings]) -> None:
    questions = written(
        place[0],
        {"text": "熊猫"},
        {"image": "missing.png"},
        {"text": "猫", "filter": "no_such = 3"},
        {"like": "nobody"},
        {"text": "的", "alpha": 0},
    )
    answers = ask(place[1], questions)
    assert ["error" in answer for answer in answers] == [False, True, True, True, True]
    assert "missing.png" in answers[1]["error"]
    assert "no_such" in answers[2]["error"]


def test_groups(place: tuple[Path, Settings]) -> None:
    defaults = Question(alpha=1.0, topk=4, group_by="query", per_group=2)
    (answer,) = ask(place[1], written(place[0], {"text": "猫"}), defaults)
    assert len(answer["groups"]) == 4
    assert len({group["value"] for group in answer["groups"]}) == 4
    assert all(1 <= len(group["hits"]) <= 2 for group in answer["groups"])
    assert sum(len(group["hits"]) for group in answer["groups"]) == len(answer["hits"])


@pytest.mark.parametrize("part", ["queries >= 1 and ", "not ", "("])
def test_a_filter_without_end_is_an_error_and_not_the_end(
    part: str, context: Context, place: tuple[Path, Settings]
) -> None:
    """zvec's parser would end the process."""
    searcher = open_searcher(context, place[1])
    for count in (10, 1001, 30_000):
        endless = part * count + "queries >= 1" + ")" * count * (part == "(")
        question = Question(text="猫", topk=1, filter=endless)
        if count > 1000:
            with pytest.raises(QueryError, match="at most 1,000 are taken") as caught:
                searcher.search(question)
            assert len(str(caught.value)) < 300
        elif part != "not ":
            assert searcher.search(question).hits


BAD_QUESTIONS: dict[str, tuple[object, str]] = {
    "nothing asked": ({}, "nothing to search for"),
    "an empty text": ({"text": " "}, "give some words"),
    "text is a number": ({"text": 3}, "text is 3"),
    "alpha": ({"text": "a", "alpha": 2}, "alpha is 2"),
    "alpha is a word": ({"text": "a", "alpha": "much"}, "much"),
    "topk": ({"text": "a", "topk": 0}, "topk is 0"),
    "topk without end": ('{"text": "a", "topk": 1e999}', "infinity"),
    "both pictures": ({"image": "a", "like": "b"}, "one of them"),
    "a picture elsewhere": ({"image": "../a.jpg"}, "neither a file beside questions.jsonl"),
}


def test_a_bad_question_is_one_bad_line_and_the_rest_is_answered(
    place: tuple[Path, Settings],
) -> None:
    bad = [{"text": "猫"}, *(line for line, _ in BAD_QUESTIONS.values()), {"text": "猫"}]
    first, *answers, last = ask(place[1], written(place[0], *bad))
    assert (first["hits"], last["line"]) == (last["hits"], len(BAD_QUESTIONS) + 2)
    for answer, (_, said) in zip(answers, BAD_QUESTIONS.values(), strict=True):
        assert said in answer["error"]
        assert "\n" not in answer["error"]


BAD = {
    "not json": ("{", "line 2"),
    "no object": ("[1]", "not an object"),
    "deep": ("[" * 100_000, "line 2"),
    "a number of 5,000 digits": ('{"text": "a", "topk": ' + "9" * 5000 + "}", "line 2"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_line_is_refused_before_anything_is_searched(
    case: str, context: Context, place: tuple[Path, Settings], tmp_path: Path
) -> None:
    line, said = BAD[case]
    questions = written(tmp_path, {"text": "猫"}, line)
    with pytest.raises(UsageError, match=r"questions\.jsonl line 2: ") as caught:
        search_file(context, place[1], str(questions), str(tmp_path / "out"), DEFAULTS)
    assert said in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "image", ["/etc/passwd", "../a.jpg", "in/../../a.jpg", "file:///etc/passwd", "s3://b/a.jpg"]
)
def test_a_file_names_pictures_beside_it_and_addresses_alone(tmp_path: Path, image: str) -> None:
    (line,) = read_lines(written(tmp_path, {"image": image}), DEFAULTS)
    assert isinstance(line.question, QueryError)
    assert "neither a file beside questions.jsonl" in str(line.question)
    for taken in ("in/a.jpg", "http://127.0.0.1/a.jpg", "HTTPS://127.0.0.1/a.jpg"):
        (line,) = read_lines(written(tmp_path, {"image": taken}), DEFAULTS)
        assert isinstance(line.question, Question)


def test_a_line_without_end_is_not_held(tmp_path: Path) -> None:
    with (tmp_path / "questions.jsonl").open("wb") as file:
        file.truncate(256 << 20)
    with pytest.raises(UsageError, match=r"line 1: it has more than 1,048,576 characters"):
        list(read_lines(tmp_path / "questions.jsonl", DEFAULTS))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="cannot be read: it is not a file but a"):
            list(read_lines(odd, DEFAULTS))
    with pytest.raises(UsageError, match="cannot be read"):
        list(read_lines(tmp_path / "none", DEFAULTS))
    (tmp_path / "gbk").write_bytes("熊猫".encode("gbk"))
    with pytest.raises(UsageError, match="not UTF-8"):
        list(read_lines(tmp_path / "gbk", DEFAULTS))
