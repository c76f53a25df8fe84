"""A cache: a folder of entries that mirrors the folder of videos, made by one recipe."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath

import filelock

from flowcache.atomic import atomic_path, paths_below, remove_leftovers
from flowcache.cache.entry import SUFFIX, DamagedEntryError, Entry
from flowcache.cache.folders import walk
from flowcache.cache.in_processes import in_processes
from flowcache.cache.info import EntryInfo
from flowcache.cache.recipe import Recipe
from flowcache.errors import UserError

_RECIPE_FILE = "cache.json"


class NoSuchEntryError(UserError, KeyError):
    """A cache has no entry of this id."""

    __str__ = Exception.__str__  # a KeyError would show its sentence in quotes


class ForeignEntryError(DamagedEntryError):
    """An entry that is whole, and was made by another recipe than its cache's."""


class FlowCache(Mapping[str, Entry]):
    """The entries under one folder, by id: an entry's path there, without its suffix."""

    def __init__(self, root: str | Path, recipe: Recipe) -> None:
        self.root = Path(root)
        self.recipe = recipe

    @classmethod
    def open(cls, root: str | Path) -> "FlowCache":
        """An existing cache. Raises UserError where there is none, or one of a later format."""
        root = Path(root)
        path = root / _RECIPE_FILE
        try:
            return cls(root, Recipe.from_json(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UserError(
                f"{root} is no flow cache (it has no {_RECIPE_FILE}): extract videos into it first, or "
                "name another cache",
                "cache",
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(
                f"{path} cannot be read: {reason}; put back the file that the extraction wrote, or "
                "name another cache",
                "cache",
            ) from None

    @classmethod
    def begun(cls, root: str | Path) -> Recipe | None:
        """The recipe of the cache in a folder, or None where there is none yet."""
        return cls.open(root).recipe if os.path.lexists(Path(root) / _RECIPE_FILE) else None

    @classmethod
    def create(cls, root: str | Path, recipe: Recipe) -> "FlowCache":
        """A cache to write into; an existing one must have this recipe, else UserError.

        Of several that begin at the same time one decides on the recipe.
        """
        path = Path(root) / _RECIPE_FILE
        if not os.path.lexists(path):
            with _writable(Path(root)):
                try:
                    with atomic_path(path, replace=False) as temporary:
                        temporary.write_text(recipe.to_json(indent=2) + "\n", encoding="utf-8")
                except FileExistsError:
                    if not os.path.lexists(path):  # else another extraction was faster
                        raise
        cache = cls.open(root)
        if differences := cache.recipe.differences(recipe):
            raise UserError(
                f"{root} was made with {'; '.join(differences)}: give the same options again, or "
                "another cache",
                "cache",
            )
        return cache

    def discard_if_empty(self) -> None:
        """Take back `create` where nothing came of it, so that another recipe may have the folder."""
        with suppress(UserError), self._locked():  # or else another extraction goes on with it
            if not self.ids():
                (self.root / _RECIPE_FILE).unlink(missing_ok=True)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to write, held by one extraction at a time; clears what a killed one left.

        Raises UserError where another extraction has it, or the folder cannot be written to.
        """
        with self._locked():
            # Another extraction may have taken it back meanwhile.
            self.create(self.root, self.recipe)
            remove_leftovers(walk(self.root, hidden=True))
            try:
                yield
            finally:  # of children that crashed or were stopped
                remove_leftovers(walk(self.root, hidden=True))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = filelock.FileLock(self.root / ".lock")
        try:
            with _writable(self.root):
                lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UserError(
                f"another extraction is writing to {self.root}: wait for it, or stop it", "cache"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def path(self, identifier: str) -> Path:
        """Where an entry lies, or would lie.

        Raises UserError for what cannot be an id, because it leads out of the cache or to a hidden file.
        """
        parts = identifier.split("/")
        leads_out = {"", ".", ".."} & {*parts} or PurePath(identifier).drive
        if leads_out or parts[-1].startswith(".") or "\0" in identifier:
            raise UserError(
                f"{identifier!r} cannot be the id of an entry: it has to be a path below the cache, such "
                "as archery/v_01"
            )
        return self.root / f"{identifier}{SUFFIX}"

    def entry(self, identifier: str) -> Entry:
        """One entry, not opened yet, and not looked for. Raises UserError as `path` does."""
        return Entry(self.path(identifier))

    def __getitem__(self, identifier: str) -> Entry:
        """One entry, not opened yet. Raises NoSuchEntryError, a KeyError, where there is none."""
        try:
            entry = self.entry(identifier)
            there = entry.path.is_file()
        except (UserError, AttributeError, OSError):  # no id, not even text, or too long for a name
            there = False
        if not there:
            raise NoSuchEntryError(f"{self.root} has no entry {identifier!r}: see its ids()")
        return entry

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids())

    def __len__(self) -> int:
        return len(self.ids())

    def __repr__(self) -> str:
        return f"FlowCache({str(self.root)!r}: {self.recipe})"

    def ids(self) -> list[str]:
        """All entries, sorted, also those below linked folders. Hidden files are none.

        Raises UserError for a folder that cannot be read.
        """
        return sorted(
            path.relative_to(self.root).as_posix().removesuffix(SUFFIX)
            for path in paths_below(self.root)
            if path.name.endswith(SUFFIX) and not path.name.startswith(".")
        )

    def infos(self) -> Iterator[tuple[str, EntryInfo | DamagedEntryError]]:
        """What each entry says of itself, or why it cannot be used.

        That is a ForeignEntryError for one that another recipe than the cache's has made.
        """
        for identifier in self.ids():
            with self.entry(identifier) as entry:
                try:
                    info = entry.info
                    self._require_own(entry.path, info)
                    yield identifier, info
                except DamagedEntryError as error:
                    yield identifier, error

    def verify(self, jobs: int = -1) -> Iterator[tuple[str, str]]:
        """Read every byte of every entry; yields each id with what is wrong, empty where nothing is."""
        yield from in_processes(jobs, self._problem, ((one,) for one in self.ids()))

    def _problem(self, identifier: str) -> tuple[str, str]:
        entry = self.entry(identifier)
        try:
            self._require_own(entry.path, entry.verify())
        except DamagedEntryError as error:
            return identifier, str(error)
        except Exception as error:  # one file never stops the check of all others
            what = f"{type(error).__name__}: {error}"
            return identifier, f"{entry.path}: it cannot be checked ({what})"
        return identifier, ""

    def _require_own(self, path: Path, info: EntryInfo) -> None:
        if differences := info.recipe.differences(self.recipe):
            raise ForeignEntryError(f"{path}: it was made with {'; '.join(differences)}")


@contextmanager
def _writable(root: Path) -> Iterator[None]:
    """UserError where the block finds that nothing can be written into the folder."""
    try:
        yield
    except filelock.Timeout:
        raise
    except OSError as error:
        raise UserError(
            f"{root} cannot be written to: {error.strerror}; change its permissions, or name another "
            "cache",
            "cache",
        ) from None
