"""SIGINT (Ctrl-C) and SIGTERM: the first asks the study to save and stop, the second ends it at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interruption:
    """While entered, notes the first signal in `number` and calls `on_signal`; a second raises KeyboardInterrupt."""

    def __init__(self):
        self.number: int | None = None
        self.on_signal: Callable[[], None] = lambda: None

    def __enter__(self) -> Interruption:
        self._previous = {
            number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
        }
        self.take_over()
        return self

    def take_over(self) -> None:
        """Handle the signals here, also where a library has put a handler of its own since (ray.init does)."""
        for number in self._previous:
            signal.signal(number, self._note)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """While there is nothing to save: the first signal, or one that has come already, raises KeyboardInterrupt."""

        def stop() -> None:
            raise KeyboardInterrupt(self.number)

        self.on_signal = stop
        try:
            if self:
                stop()
            yield
        finally:
            self.on_signal = lambda: None

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        if self.number is not None:
            raise KeyboardInterrupt(number)
        self.number = number
        self.on_signal()

    def __bool__(self) -> bool:
        return self.number is not None
