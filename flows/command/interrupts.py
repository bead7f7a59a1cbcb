"""Ctrl-C and termination: a run ends within two seconds, wherever it is.

What is under way is told to stop, and keeps what it has done. Where that takes longer, say in the
middle of a large batch, the process ends without it: outputs appear whole or not at all, so that
a run may end at any point, and the next one does only what is missing.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from flows.command.log_format import is_json
from tasks.errors import MugeError
from tasks.telemetry.lines import json_line

PATIENCE_SECONDS = 1.5
INTERRUPTED = "interrupted; what was done is kept: run the same command again to go on"
INTERRUPTED_IN_CHINESE = "已中断；做完的都留着：再运行同一条命令就接着做"
"""Ready to be written where nothing may be imported any more."""
EXIT_INTERRUPTED = 130


@contextmanager
def ending_soon(
    stop: Callable[[], None], chinese: bool = False
) -> Iterator[Callable[[MugeError], None]]:
    """Interrupted or terminated, the block ends with `KeyboardInterrupt` once `stop` was called,
    and the process after `PATIENCE_SECONDS` if it does not; a second time it ends at once. What it
    says then is `chinese` or not.

    Gives a function for any thread that ends the block in the same way with an error.
    """
    ending = _Ending(stop, chinese)
    before = {number: signal.signal(number, ending.interrupted) for number in ending.signals}
    woken, wakes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(woken, True)
    # written to by the signal itself, when the main thread may be in a library for a long time
    earlier = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    threading.Thread(target=ending.watch, args=(woken,), daemon=True).start()
    try:
        yield ending.lose
    except KeyboardInterrupt:
        ending.explained = True
        raise ending.error or KeyboardInterrupt from None
    finally:
        if not ending.times:
            signal.set_wakeup_fd(earlier)
            os.close(wakes)
            for number, handler in before.items():
                signal.signal(number, handler)


class _Ending:
    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, stop: Callable[[], None], chinese: bool) -> None:
        self._stop = stop
        self._chinese = chinese
        self.times = 0
        self.explained = False
        self.error: MugeError | None = None

    def interrupted(self, number: int, frame: FrameType | None) -> None:
        """What a signal does, in the main thread."""
        self.times += 1
        self._stop()
        if self.times > 1:
            self._leave()
        raise KeyboardInterrupt

    def watch(self, woken: int) -> None:
        """End the process some time after the first signal."""
        while received := os.read(woken, 1):
            if received[0] in self.signals:
                break
        if not received:
            os.close(woken)
            return
        threading.Event().wait(PATIENCE_SECONDS)
        self._leave()

    def lose(self, error: MugeError) -> None:
        """End with an error."""
        self.error = error
        self._stop()
        _thread.interrupt_main()
        threading.Event().wait(PATIENCE_SECONDS)
        self._leave()

    def _leave(self) -> None:
        if not self.explained:
            said = str(self.error or INTERRUPTED)
            if self._chinese and self.error is None:
                said = INTERRUPTED_IN_CHINESE
            line = json_line("error", said) if is_json() else f"\nmuge: {said}"
            os.write(2, f"{line}\n".encode())
        os._exit(self.error.exit_code if self.error else EXIT_INTERRUPTED)
