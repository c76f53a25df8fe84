"""What one thread hands to the next: the newest, since a label of an old frame is of no use."""

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Room for a few things. Where the next has no room, the oldest is dropped and counted."""

    def __init__(self, room: int = 1, keep_all: bool = False) -> None:
        """keep_all: nothing is dropped; who puts waits until there is room."""
        self._room, self._keep_all = room, keep_all
        self._changed = Condition()
        self._held: deque[T] = deque()
        self._closed = False
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many things were dropped."""
        return self._dropped

    def put(self, thing: T) -> None:
        """Offer the newest. Nothing happens where the mailbox is closed."""
        with self._changed:
            if self._keep_all:
                self._changed.wait_for(lambda: self._closed or len(self._held) < self._room)
            if self._closed:
                return
            self._held.append(thing)
            if len(self._held) > self._room:
                self._held.popleft()
                self._dropped += 1
            self._changed.notify_all()

    def take(self) -> list[T]:
        """All that it holds, the newest last, waited for; empty when nothing more comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._closed)
            things = list(self._held)
            self._held.clear()
            self._changed.notify_all()
            return things

    def close(self) -> None:
        """Nothing more comes. What it holds can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
