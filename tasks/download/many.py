"""Many addresses at the same time: bounded in all and by host, tried again where that can help.

Threads ask, and the caller takes the answers as they come. A host that asks to be left alone is
left alone, and one that gave no answer for many addresses in a row, or still asks to be left alone
after all tries, is given up for this run.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from urllib.parse import urlsplit

from tasks.download.answers import Answer, Wanted, lasts
from tasks.download.exchange import Exchange
from tasks.download.fetch import FetchLimits

AHEAD = 1024
"""Addresses that are known at the same time."""
ANSWERED_BYTES = 4 << 20
"""Threads wait while so many bytes wait for the caller, or as many answers as there are threads: a
run that is killed loses them."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before an address is asked again; a server that asks for longer is not."""
GIVEN_UP = 10
"""So many addresses of a host in a row gave no answer at all, or after all tries one that says when
to come back: the others are not tried."""
HEARTBEAT_SECONDS = 0.25
END_SECONDS = 0.5
"""What is under way may take so long to end where nobody waits for its answer."""
BUSY = ("429", "503")
"""Answers that ask for less."""
SILENT = ("too_slow", "unreachable")


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many addresses are asked at the same time, of all hosts and of one, and how often each is
    tried again; `retried` is called then, in any thread."""

    at_once: int = 32
    per_host: int = 8
    retries: int = 3
    first_pause: float = FIRST_PAUSE
    retried: Callable[[], None] = lambda: None


def fetch_many(
    wanted: Iterable[Wanted], limits: FetchLimits, crowd: Crowd
) -> Generator[Answer | None]:
    """The answer of every address, in the order in which they come; None now and then while there
    is none yet.

    Raises `UsageError` as `Exchange.ask`. Closed early, it leaves what is under way to end alone.
    """
    with asking(limits, crowd) as line:
        yield from _answers(line, iter(wanted))


@contextmanager
def asking(limits: FetchLimits, crowd: Crowd) -> Iterator[Line]:
    """A line of addresses that are asked while the block runs; what is under way when it is left
    early ends alone, after `END_SECONDS`."""
    line = Line(crowd)
    with Exchange(limits) as exchange:
        threads = [
            threading.Thread(target=_work, args=(line, exchange), daemon=True)
            for _ in range(crowd.at_once)
        ]
        for thread in threads:
            thread.start()
        try:
            yield line
        except BaseException:
            line.stop()
            _join(threads, END_SECONDS)
            raise
        line.stop()
        _join(threads, None)


def _join(threads: Sequence[threading.Thread], seconds: float | None) -> None:
    """Wait for threads to end, for so long at most."""
    until = None if seconds is None else time.monotonic() + seconds
    for thread in threads:
        thread.join(None if until is None else max(0.0, until - time.monotonic()))


def _answers(line: Line, wanted: Iterator[Wanted]) -> Iterator[Answer | None]:
    waiting = 0
    while True:
        for each in itertools.islice(wanted, AHEAD - waiting):
            line.add(each)
            waiting += 1
        if not waiting:
            return
        answers = line.answers()
        waiting -= len(answers)
        yield from answers or (None,)


def _work(line: Line, exchange: Exchange) -> None:
    """What each thread does until the line is stopped."""
    while (job := line.take()) is not None:
        try:
            answer = exchange.ask(job.wanted)
        except BaseException as error:  # the caller's to raise
            line.fail(error)
            return
        line.give_back(job, answer)


@dataclass(slots=True)
class _Host:
    """`silent` counts addresses in a row that gave no answer, or a time to come back at; `last` is
    what came of the last one."""

    waiting: deque[_Job] = field(default_factory=deque)
    active: int = 0
    not_before: float = 0.0
    silent: int = 0
    last: Answer | None = None


@dataclass(slots=True)
class _Job:
    wanted: Wanted
    host: _Host
    tries: int = 0


class Line:
    """What waits to be asked, the hosts in turn, and the answers that wait for the caller."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._hosts: dict[str, _Host] = {}
        self._turns: deque[_Host] = deque()  # those of which addresses wait
        self._later: list[tuple[float, int, _Job]] = []
        self._answers: list[Answer] = []
        self._bytes = self._count = 0
        self._stopped = False
        self._error: BaseException | None = None
        lock = threading.Lock()
        self._jobs = threading.Condition(lock)
        self._answered = threading.Condition(lock)
        self._taken = threading.Condition(lock)

    def add(self, wanted: Wanted) -> None:
        """One more address."""
        try:
            name = urlsplit(wanted.address).netloc.lower()
        except ValueError:  # the exchange says what is wrong with it
            name = ""
        with self._jobs:
            host = self._hosts.setdefault(name, _Host())
            self._queue(_Job(wanted, host))
            self._jobs.notify()

    def take(self) -> _Job | None:
        """The next address that may be asked, when there is one; None when all is over."""
        with self._jobs:
            while not self._stopped:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    self._queue(heappop(self._later)[-1], first=True)
                job = self._next(now)
                if job is not None:
                    return job
                self._jobs.wait(self._pause(now))
        return None

    def give_back(self, job: _Job, answer: Answer) -> None:
        """What came of an address: it is asked again later, or the caller is told."""
        with self._jobs:
            job.host.active -= 1
            pause = self._again_in(job, answer)
            if pause is None:
                self._settle(job.host, answer)
                while self._is_full() and not self._stopped:
                    self._taken.wait()
                return
            due = time.monotonic() + pause
            if answer.cause in BUSY:
                job.host.not_before = due
            job.tries += 1
            self._crowd.retried()
            self._count += 1
            heappush(self._later, (due, self._count, job))
            self._jobs.notify()

    def fail(self, error: BaseException) -> None:
        """Let the caller raise an error."""
        with self._jobs:
            self._error = error
            self._answered.notify()

    def answers(self) -> list[Answer]:
        """What came since the last call; [] if nothing does for a moment."""
        with self._answered:
            if not self._answers and self._error is None:
                self._answered.wait(HEARTBEAT_SECONDS)
            if self._error is not None:
                raise self._error
            taken, self._answers, self._bytes = self._answers, [], 0
            self._taken.notify_all()
            return taken

    def stop(self) -> None:
        """Give out nothing more."""
        with self._jobs:
            self._stopped = True
            self._jobs.notify_all()
            self._taken.notify_all()

    def _is_full(self) -> bool:
        return self._bytes > ANSWERED_BYTES or len(self._answers) >= self._crowd.at_once

    def _queue(self, job: _Job, first: bool = False) -> None:
        if not job.host.waiting:
            self._turns.append(job.host)
        (job.host.waiting.appendleft if first else job.host.waiting.append)(job)

    def _next(self, now: float) -> _Job | None:
        for host in tuple(self._turns):
            if host.silent >= GIVEN_UP and host.last is not None:
                self._turns.remove(host)
                while host.waiting:
                    self._settle(host, _given_up(host.last, host.waiting.popleft().wanted))
            elif host.active < self._crowd.per_host and host.not_before <= now:
                self._turns.remove(host)
                job = host.waiting.popleft()
                if host.waiting:
                    self._turns.append(host)
                host.active += 1
                return job
        return None

    def _pause(self, now: float) -> float | None:
        """Seconds until something waits no longer for its time; None: until somebody says so."""
        times = [host.not_before for host in self._turns if host.not_before > now]
        times += [self._later[0][0]] if self._later else []
        return min(times) - now if times else None

    def _again_in(self, job: _Job, answer: Answer) -> float | None:
        """Seconds after which to ask an address again; None: not in this run."""
        if not answer.cause or lasts(answer.cause) or job.tries >= self._crowd.retries:
            return None
        if job.host.silent >= GIVEN_UP:
            return None
        wait = _wait(answer)
        pause = self._crowd.first_pause * 2**job.tries * random.uniform(0.5, 1.5)
        return None if wait > LONGEST_PAUSE else max(wait, min(pause, LONGEST_PAUSE))

    def _settle(self, host: _Host, answer: Answer) -> None:
        away = answer.cause in SILENT or _wait(answer) > 0
        host.silent = host.silent + 1 if away else 0
        host.last = answer
        self._answers.append(answer)
        self._bytes += len(answer.content or b"")
        self._answered.notify()


def _wait(answer: Answer) -> float:
    """How many seconds its host asks to be left alone."""
    return (answer.wait or 0.0) if answer.cause in BUSY else 0.0


def _given_up(last: Answer, wanted: Wanted) -> Answer:
    did = "asked to be left alone" if last.cause in BUSY else "gave no answer"
    said = f"not asked: its host {did} for {GIVEN_UP} addresses in a row ({last.cause})"
    return Answer(wanted.address, cause=last.cause, reason=said)
