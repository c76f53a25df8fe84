"""Try many damaged inputs, each in a child with a limit of memory and time; count what happens."""

import resource
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from flowcache.errors import UserError
from flowcache.workers.isolation import Children, CrashedError, TimedOutError

REFUSED, HARMLESS, WRONG = "refused", "harmless", "wrong"
"""A sentence says what is wrong; the result is that of the whole file; another, and nothing says so."""

HUNG, TRACEBACK, DIED = "hung", "traceback", "died"
"""No end within the time; an error that is none of ours; the process died, also of too little memory."""

_MEMORY = 6 << 30  # of address space, which libraries map more of than they use


@dataclass
class Counts:
    """How the cases of a campaign ended, and which ones, by how."""

    of: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, case: str, end: str, why: str = "") -> None:
        self.of[end] += 1
        self.cases[end].append(f"{case}: {why}" if why else case)

    def __str__(self) -> str:
        total = sum(self.of.values())
        return f"{total} tried: " + ", ".join(f"{n} {end}" for end, n in sorted(self.of.items()))


def run(
    attempt: Callable[..., bool | str],
    cases: Iterable[tuple[str, tuple[Any, ...]]],
    seconds: float = 30,
    at_once: int = 2,
    children: Children | None = None,
) -> Counts:
    """Call `attempt(*arguments)` in a child for each (name, arguments).

    children: those of several campaigns, which have imported already what an attempt needs.
    attempt: returns whether the result is that of the whole file, or a word of its own for how the case
    ended; raises UserError where it is refused.
    """
    counts = Counts()
    owned = nullcontext(children) if children else Children()
    with owned as own, ThreadPoolExecutor(at_once) as threads:

        def one(case: tuple[str, tuple[Any, ...]]) -> tuple[str, str, str]:
            name, arguments = case
            return name, *_end(own, attempt, arguments, seconds)

        for name, end, why in _few_at_a_time(threads, one, cases, 4 * at_once):
            counts.add(name, end, why)
    return counts


def _end(
    children: Children,
    attempt: Callable[..., bool | str],
    arguments: tuple[Any, ...],
    seconds: float,
) -> tuple[str, str]:
    try:
        end = children.run(_limited, attempt, arguments, timeout=seconds)
        if isinstance(end, str):
            return end, ""
        return (HARMLESS if end else WRONG), ""
    except UserError as error:
        # Two lines are a traceback in disguise, or a message repeated whole.
        return (REFUSED if len(str(error)) < 1000 else TRACEBACK), str(error)[:300]
    except TimedOutError as error:
        return HUNG, str(error)
    except CrashedError as error:
        return DIED, str(error)
    except Exception as error:
        return TRACEBACK, f"{type(error).__name__}: {str(error)[:300]}"


def _limited(
    attempt: Callable[..., bool | str],
    arguments: tuple[Any, ...],
    report: Callable[[Any], None],
) -> bool | str:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    return attempt(*arguments)


def _few_at_a_time(
    threads: ThreadPoolExecutor, function: Callable[..., Any], cases: Iterable[Any], many: int
) -> Iterator[Any]:
    """`threads.map`, but without making all cases, which are whole files, before the first has ended."""
    waiting: list[Any] = []
    for case in cases:
        waiting.append(threads.submit(function, case))
        if len(waiting) >= many:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()
