"""What all tests rely on."""

from __future__ import annotations

import random
import threading

from hypothesis import given, settings
from hypothesis import strategies as st


def test_threads_may_draw_random_numbers_while_strategies_draw() -> None:
    over = threading.Event()

    def draw() -> None:
        while not over.wait(0):
            random.random()

    @settings(max_examples=50, derandomize=True)
    @given(st.lists(st.integers(), min_size=50))
    def numbers(drawn: list[int]) -> None:
        assert len(drawn) >= 50

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        numbers()
    finally:
        over.set()
        thread.join()
