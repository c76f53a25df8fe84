"""Everything that decides what a cache holds; two caches with one recipe hold the same."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from flowcache import algorithms, plugins
from flowcache.errors import UserError
from flowcache.quantize import Quantizer
from flowcache.types import FlowAlgorithm
from flowcache.video.decode import Resize

FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How videos became cache entries.

    algorithm, algorithm_version, options: the flow algorithm, its implementation, all its options.
    frame_step: flow is from frame t to frame t + frame_step.
    size: the stored size, as `Resize` writes it.
    bound, quantizer_step: see `Quantizer`; pixels.
    jpeg_quality: of the RGB frames, 1 to 100.
    """

    algorithm: str
    algorithm_version: str
    options: Mapping[str, Any]
    frame_step: int
    size: str
    bound: float
    quantizer_step: float
    jpeg_quality: int
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.frame_step < 1:
            raise UserError(f"a frame step of {self.frame_step} is no step: use 1 or more")
        if not 1 <= self.jpeg_quality <= 100:
            raise UserError(f"a JPEG quality of {self.jpeg_quality} is not within 1 to 100")
        if self.format_version != FORMAT_VERSION:
            raise UserError(
                f"the cache has format {self.format_version} and this program reads format "
                f"{FORMAT_VERSION}: extract it again, or use the version that wrote it"
            )
        # A recipe that cannot be carried out is refused here, not in each worker.
        _ = self.quantizer, self.resize

    @classmethod
    def of(cls, algorithm: str, options: Mapping[str, Any], **rest: Any) -> Self:
        """A recipe with the algorithm's own defaults and version filled in."""
        plugin = plugins.create(algorithms, algorithm, **options)
        return cls(
            algorithm=algorithm,
            algorithm_version=plugin.version,
            options=plugins.public_options(plugin),
            **rest,
        )

    @property
    def quantizer(self) -> Quantizer:
        """Pixels ↔ codes."""
        return Quantizer(bound=self.bound, step=self.quantizer_step)

    @property
    def resize(self) -> Resize:
        """The stored size."""
        return Resize.parse(self.size)

    def create_algorithm(self) -> FlowAlgorithm:
        """The algorithm; UserError where this machine has another version of it."""
        algorithm: FlowAlgorithm = plugins.create(algorithms, self.algorithm, **self.options)
        if algorithm.version != self.algorithm_version:
            raise UserError(
                f"the recipe asks for {self.algorithm} of {self.algorithm_version} and this machine "
                f"has {algorithm.version}: install that version, or start a new cache"
            )
        return algorithm

    def to_json(self, indent: int | None = None) -> str:
        """As text, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From `to_json`'s text; ValueError where it is something else."""
        values = json.loads(text)
        names = {f.name for f in fields(cls)}
        if (
            not isinstance(values, dict)
            or set(values) != names
            or not isinstance(values["options"], dict)
        ):
            raise ValueError(f"a recipe has the keys {', '.join(sorted(names))}")
        try:
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"a value is of the wrong type ({error})") from None

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
            f"{self.algorithm} ({self.algorithm_version}), step {self.frame_step}, size {self.size}, "
            f"±{self.bound:g} px in steps of {self.quantizer_step:.4g} px, "
            f"JPEG quality {self.jpeg_quality}"
        )
