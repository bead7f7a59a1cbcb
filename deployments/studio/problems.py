"""Everything that can go wrong, as a status, a stable code and a sentence without inner details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from deployments.studio.limits import BusyError
from flows.command.in_chinese import in_chinese
from tasks.errors import (
    BadNameError,
    CollectionRecordError,
    MugeError,
    QueryError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What the asker is told. `code` is stable and has its words on the page; `message` is English
    and holds nothing that the asker did not give; `chinese` says the same where it can be said."""

    status: int
    code: str
    message: str
    retry_after: int | None = None
    chinese: str = ""

    @property
    def in_chinese(self) -> str:
        """The message in Chinese; "" where nobody said it."""
        said = self.chinese or in_chinese(self.message)
        return "" if said == self.message else said

    def as_json(self) -> dict[str, dict[str, str]]:
        """The body of an API's answer."""
        return {"error": {"code": self.code, "message": self.message}}


class ProblemError(Exception):
    """A request that ends with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


INTERNAL = Problem(500, "internal", "something went wrong here; it was written to the server's log")
NOT_FOUND = Problem(404, "not_found", "there is nothing at this address")
NO_TOKEN = Problem(401, "token", "a token is needed: Authorization: Bearer TOKEN")
WRONG_HOST = Problem(421, "host", "this server does not answer for that host name")
GONE = Problem(410, "picture_gone", "this uploaded picture is no longer kept; upload it again")
NOT_READY = Problem(
    503, "not_ready", "the collection cannot be searched now; see the server's log", 5
)
NO_PICTURE = Problem(404, "no_picture", "this document carries no picture")
ONE_PICTURE = Problem(422, "query", "give one of image, picture and like")
DEEP_FILTER = Problem(422, "filter", "the filter has too many brackets within brackets")
TOO_LARGE = Problem(413, "too_large", "what was sent has too many bytes")
WRONG_TYPE = Problem(415, "type", "send a picture's bytes as image/* or application/octet-stream")
TOO_SLOW = Problem(408, "too_slow", "what was sent took too long to arrive")
NO_JUDGING = Problem(403, "no_judging", "this server takes no judgements: MUGE_WEB_JUDGE=on")
OTHER_SITE = Problem(403, "other_site", "judgements are taken from this server's own pages only")
NOBODY = Problem(403, "nobody", "no proxy says who judges, as MUGE_WEB_USER_HEADER asks for")
NO_JSON = Problem(415, "no_json", "send a judgement as application/json")
NOT_KEPT = Problem(503, "not_kept", "the judgement could not be kept; see the server's log")
NOT_READ = Problem(503, "not_read", "the judgements cannot be read; see the server's log")
CROWDED = Problem(503, "busy", "too many connections at once; try again", 1)
NO_FETCHING = Problem(422, "address", "this server fetches no addresses; upload the picture")


def problem_of(error: BaseException) -> Problem | None:
    """The problem an expected error means; None: nobody expected it."""
    match error:
        case ProblemError():
            return error.problem
        case QueryError():
            return Problem(
                422, "filter" if str(error).startswith("filter") else "query", str(error)
            )
        case BusyError():
            return Problem(503, "busy", "too many searches at once; try again", error.retry_after)
        case CollectionRecordError() | StoreBusyError() | StoreDamagedError() | BadNameError():
            return NOT_READY
        case StoreError():
            return Problem(503, "store", "the vector database does not answer; try again", 5)
        case ValidationError():
            return invalid([{**item, "loc": ("body", *item["loc"])} for item in error.errors()])
        case MugeError():
            return NOT_READY
    return None


WRONG_IN_CHINESE: Mapping[str, str] = {
    "greater_than": "应大于 {gt:g}",
    "greater_than_equal": "应不小于 {ge:g}",
    "less_than": "应小于 {lt:g}",
    "less_than_equal": "应不大于 {le:g}",
    "finite_number": "应是有限的数",
    "float_parsing": "应是一个数",
    "int_parsing": "应是整数",
    "int_parsing_size": "应是不太大的整数",
    "string_too_long": "最多 {max_length} 个字符",
    "string_too_short": "至少 {min_length} 个字符",
    "string_pattern_mismatch": "写法不对",
    "literal_error": "应是 {expected}",
}
"""By pydantic's type of an error."""


def invalid(wrong: Sequence[Mapping[str, Any]]) -> Problem:
    """Parameters that cannot be used, as pydantic says them; the last of `loc` is the name."""
    english = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in wrong)
    chinese = [_in_chinese(item) for item in wrong]
    return Problem(422, "invalid", english[:500], chinese="；".join(chinese) * all(chinese))


def _in_chinese(item: Mapping[str, Any]) -> str:
    """What is wrong; "" where nobody said it in Chinese."""
    if (said := WRONG_IN_CHINESE.get(item["type"])) is None:
        return ""
    what = said.format(**item.get("ctx", {})).replace(" or ", "、").replace(", ", "、")
    return f"{item['loc'][-1]}：{what}"


def too_many(seconds: int) -> Problem:
    """A client that asked more often than it may."""
    return Problem(429, "rate", f"too many requests; try again in {seconds} s", seconds)
