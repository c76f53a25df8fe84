"""The models as they were measured, in a file that comes with the package.

    python -m twostream.inspect.shipped_table

measures every model anew, in a minute or two, and writes `shipped_table.json` beside this file. Run it
after a change to a model, a backbone, a card or a stream: the tests compare the file with fresh
measurements.

One line of the file is one model on one stream, with its default options and 400 classes, on the clip
that its card calls standard; it is `Entry.as_plain`'s result. So the table of the models is printed
without building one, and without importing torch.
"""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from flowcache import plugins
from flowcache.atomic import atomic_path
from flowcache.errors import UserError
from twostream import models
from twostream.data.streams import STREAMS
from twostream.inspect.values import Entry, Input

FILE = Path(__file__).with_name("shipped_table.json")


def recorded(name: str, given: Input) -> Entry | None:
    """A model with its default options as the file has it; None where the file has no such clips."""
    entries = {(entry.name, entry.stream, entry.classes): entry for entry in read()}
    entry = entries.get((name, given.stream, given.classes))
    # The clips of both streams, since an entry also says which of them the model can take.
    standard = entry is not None and all(
        given.clip(entry.card, stream) == Input().clip(entry.card, stream) for stream in STREAMS
    )
    return entry if standard else None


@cache
def read() -> tuple[Entry, ...]:
    """All entries of the file; none where there is no file, so that everything is measured."""
    if not FILE.exists():
        return ()
    return tuple(Entry.from_plain(line) for line in json.loads(FILE.read_text(encoding="utf-8")))


def write(entries: Iterable[Entry], path: Path = FILE) -> None:
    """Write the file, one entry a line; it is whole or not there, also where measuring fails."""
    lines = ",\n".join(json.dumps(entry.as_plain(), ensure_ascii=False) for entry in entries)
    with atomic_path(path) as temporary:
        temporary.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def measure_all() -> Iterator[Entry]:
    """Measure every model on each stream that it can take, and print what was done."""
    from twostream.inspect.measure_models import measure_model

    for name in plugins.names(models):
        for stream in STREAMS:
            try:
                entry = measure_model(name, (), Input(stream=stream))
            except UserError as error:
                print(f"{name}, {stream}: left out: {error}", flush=True)
                continue
            print(f"{name}, {stream}: {entry.parameters:,} parameters", flush=True)
            yield entry


if __name__ == "__main__":
    write(measure_all())
