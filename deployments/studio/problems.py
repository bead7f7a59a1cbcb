"""Everything that can go wrong, as a status, a stable code and a sentence without inner details."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from deployments.studio.limits import BusyError
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
    and holds nothing that the asker did not give."""

    status: int
    code: str
    message: str
    retry_after: int | None = None

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
            named = [(str(("body", *item["loc"])[-1]), item["msg"]) for item in error.errors()]
            return invalid(named)
        case MugeError():
            return NOT_READY
    return None


def invalid(wrong: list[tuple[str, str]]) -> Problem:
    """Parameters that cannot be used: (name, what is wrong)."""
    sentences = "; ".join(f"{name}: {what}" for name, what in wrong)
    return Problem(422, "invalid", sentences[:500])


def too_many(seconds: int) -> Problem:
    """A client that asked more often than it may."""
    return Problem(429, "rate", f"too many requests; try again in {seconds} s", seconds)
