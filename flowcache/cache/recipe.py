"""Everything that decides what a cache holds: two caches with one recipe hold the same."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from flowcache import plugins
from flowcache.errors import UserError
from flowcache.video.resize import Resize

if TYPE_CHECKING:
    # They import NumPy, which takes longer than all the rest of `twostream --help`. The command line
    # reads the defaults below and needs nothing else of a recipe.
    from flowcache.quantize import Quantizer
    from flowcache.types import FlowAlgorithm

FORMAT_VERSION = 3
"""Format 3 has the recipe of format 2; what is new is how an entry holds its text."""

IMPORTED = "imported"
"""Stands where the algorithm would, for flow that other programs computed; see `Recipe.imported`."""

FROM_BOUND: Any = None
"""The default of a quantiser's step."""

_NAMES_OF_FORMAT_1 = {
    "tvl1_triton": ("tvl1", "triton"),
    "tvl1_torch": ("tvl1", "torch"),
    "farneback_torch": ("farneback", "torch"),
}
"""What were algorithms of their own in format 1, as (algorithm, backend)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How videos become cache entries. All defaults of an extraction stand here."""

    algorithm: str
    """The flow algorithm: one of flowcache's by name, or else the module and class of a user's own."""

    backend: str = "cpu"
    """Which of the algorithm's implementations."""

    algorithm_version: str
    """Which version of that implementation, and of the library that it stands on."""

    options: Mapping[str, Any]
    """All options of the algorithm."""

    frame_step: int = 1
    """Flow is from frame t to frame t + frame_step."""

    backward: bool = False
    """Whether the flow from frame t + frame_step to frame t is kept beside it."""

    size: str = "256"
    """The size at which frames are stored: a short side that is never enlarged, WxH, or "original", which
    for imported flow is the flow's; see `Resize`."""

    bound: float = 20.0
    """The largest displacement that is kept, pixels."""

    quantizer_step: float = FROM_BOUND
    """The distance between stored displacements, pixels; by default bound / 127."""

    jpeg_quality: int = 90
    """Of the RGB frames, 1 to 100."""

    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.frame_step < 1:
            raise UserError(
                f"a frame step of {self.frame_step} is no step: use 1 or more", "frame_step"
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise UserError(
                f"a JPEG quality of {self.jpeg_quality} is not within 1 to 100", "jpeg_quality"
            )
        _require_readable(self.format_version)
        if self.quantizer_step is None:
            object.__setattr__(self, "quantizer_step", self.bound / 127)
        object.__setattr__(self, "size", str(self.resize))  # also where a number was given
        # A recipe that cannot be carried out is refused here, not in each worker.
        _ = self.quantizer

    @classmethod
    def of(
        cls,
        algorithm: "str | FlowAlgorithm",
        options: Mapping[str, Any] | None = None,
        *,
        backend: str = "cpu",
        **rest: Any,
    ) -> Self:
        """A recipe with the algorithm's own defaults and version filled in.

        algorithm: a name, with its options, or an algorithm that is made already. `rest`: other fields.
        """
        from flowcache import algorithms

        if isinstance(algorithm, str):
            name, made = algorithm, algorithms.create(algorithm, backend, **(options or {}))
        else:
            made = algorithm
            if not hasattr(made, "version"):
                raise UserError(
                    f"{made!r} has no version, which a cache records: give it one, see FlowAlgorithm",
                    "algorithm",
                )
            name, backend = algorithms.name_of(algorithm)
        return cls(
            algorithm=name,
            backend=backend,
            algorithm_version=made.version,
            options=_as_recorded(name, plugins.public_options(made)),
            **rest,
        )

    @classmethod
    def imported(
        cls, format_name: str, origin: str = "", *, frames: bool, unknown: str, **rest: Any
    ) -> Self:
        """A recipe of flow that was read from files of this format, so that it cannot be computed again.

        origin: what computed it, in the user's words; it stands where an algorithm has its version.
        frames: whether the frames are kept beside it. unknown: what displacements that are not known
        count as, "refused" or "zero". `rest`: other fields.
        """
        options = {"format": format_name, "frames": frames, "unknown": unknown}
        return cls(
            algorithm=IMPORTED,
            algorithm_version=origin or "unknown origin",
            options=options,
            size="original",
            **rest,
        )

    def with_algorithm(
        self, algorithm: "str | FlowAlgorithm", options: Mapping[str, Any] | None = None
    ) -> "Recipe":
        """The same with another algorithm on the CPU; see `of`."""
        of_algorithm = ("algorithm", "backend", "algorithm_version", "options", "format_version")
        rest = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in of_algorithm}
        return Recipe.of(algorithm, options, **rest)

    @property
    def components(self) -> int:
        """Numbers at each place of a stored field: dx and dy, and with the flow backward its two."""
        return 4 if self.backward else 2

    @property
    def has_frames(self) -> bool:
        """Whether frames are kept beside the flow; imported flow may have none."""
        return self.algorithm != IMPORTED or bool(self.options.get("frames", True))

    @property
    def quantizer(self) -> "Quantizer":
        """Pixels ↔ codes."""
        from flowcache.quantize import Quantizer

        return Quantizer(bound=self.bound, step=self.quantizer_step)

    @property
    def resize(self) -> Resize:
        """The stored size."""
        return Resize.parse(self.size)

    def create_algorithm(self) -> "FlowAlgorithm":
        """The algorithm. Raises UserError where this machine has another version of it, or none."""
        from flowcache import algorithms

        if self.algorithm == IMPORTED:
            raise UserError(
                f"the flow is imported ({self.algorithm_version}), so it cannot be computed for other "
                "videos: import theirs too and take `evaluate`, or train on flow of `extract-flow`",
                "algorithm",
            )
        if self.algorithm not in algorithms.names():
            raise UserError(
                f"the flow is of {self.algorithm}, which is none of flowcache's algorithms: pass the "
                "algorithm itself",
                "algorithm",
            )
        algorithm = algorithms.create(self.algorithm, self.backend, **self.options)
        if algorithm.version != self.algorithm_version:
            raise UserError(
                f"the recipe asks for {self.name} of {self.algorithm_version} and this machine "
                f"has {algorithm.version}: install that version, or start a new cache",
                "cache",
            )
        return algorithm

    @property
    def name(self) -> str:
        """The algorithm with its backend, in words."""
        return self.algorithm if self.backend == "cpu" else f"{self.algorithm} on {self.backend}"

    def to_json(self, indent: int | None = None) -> str:
        """As text, keys sorted."""
        return json.dumps(self.to_plain(), sort_keys=True, indent=indent)

    def to_plain(self) -> dict[str, Any]:
        """Dictionaries, strings and numbers; `backward` stands there only where it is asked for."""
        plain = asdict(self)
        if not self.backward:
            del plain["backward"]
        return plain

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """From `to_plain`'s result, also of an earlier format. Raises ValueError for anything else."""
        if not isinstance(values, dict):
            raise ValueError("a recipe is a dictionary")
        if values.get("format_version") == 1:
            values = _from_format_1(values)
        if values.get("format_version") == 2:
            values = {**values, "format_version": 3}
        _require_readable(values.get("format_version", FORMAT_VERSION))  # its keys may be others
        values = {"backward": False, **values}
        names = {f.name for f in fields(cls)}
        if set(values) != names or not isinstance(values["options"], dict):
            raise ValueError(f"a recipe has the keys {', '.join(sorted(names))}")
        try:
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"a value is of the wrong type ({error})") from None

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From `to_json`'s text, also of an earlier format. Raises ValueError for anything else."""
        return cls.from_plain(json.loads(text))

    def differences(self, other: "Recipe") -> list[str]:
        """What differs, one phrase each: `"bound 20.0, not 15.0"`; own value first."""
        phrases = []
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if field.name == "options":
                if self.algorithm == other.algorithm:
                    phrases += [
                        f"{key} {mine.get(key)}, not {theirs.get(key)}"
                        for key in sorted({*mine, *theirs})
                        if mine.get(key) != theirs.get(key)
                    ]
            elif mine != theirs:
                phrases.append(f"{field.name.replace('_', ' ')} {mine}, not {theirs}")
        return phrases

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.algorithm_version}){', forward and backward' * self.backward}, "
            f"step {self.frame_step}, size {self.size}, "
            f"±{self.bound:g} px in steps of {self.quantizer_step:.4g} px, "
            f"JPEG quality {self.jpeg_quality}"
        )


def _as_recorded(algorithm: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options as JSON gives them back, so that a recipe equals what was read: lists for tuples."""
    try:
        recorded: Mapping[str, Any] = json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the options of {algorithm} cannot be recorded ({error}): they must be numbers, text, or "
            "lists of these",
            "algorithm",
        ) from None
    return recorded


def _require_readable(version: Any) -> None:
    if version != FORMAT_VERSION:
        raise UserError(
            f"the cache has format {version} and this program reads format {FORMAT_VERSION} and "
            "earlier: extract it again, or use the version that wrote it"
        )


def _from_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Format 1 had no backends: an algorithm in batches was an algorithm of its own."""
    given = str(values.get("algorithm"))
    algorithm, backend = _NAMES_OF_FORMAT_1.get(given, (given, "cpu"))
    changed: dict[str, Any] = {"algorithm": algorithm, "backend": backend, "format_version": 2}
    if algorithm == "tvl1" and isinstance(values.get("options"), dict):
        changed["options"] = {"exact": False} | values["options"]
    return {**values, **changed}
