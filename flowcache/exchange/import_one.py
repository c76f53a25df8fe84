"""One video's flow, as other programs left it → one cache entry."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from flowcache.cache.info import EntryInfo, Source
from flowcache.cache.recipe import Recipe
from flowcache.cache.writer import EntryWriter, write_entry
from flowcache.errors import UserError
from flowcache.exchange.contract import Convention, format_named
from flowcache.extraction.one import Job, one_opencv_thread
from flowcache.types import Float32, FlowStack
from flowcache.video.decode import Video
from flowcache.video.resize import Resize
from flowcache.workers.isolation import Report

_BATCH = 16  # fields that are quantised and compressed at once


@dataclass(frozen=True)
class ImportJob(Job):
    """The flow of one video to take over; `video` is where it lies, for messages."""

    files: tuple[Path, ...] = ()
    """Of the flow."""

    source: Path | None = None
    """The video that the flow was computed from, whose frames are kept beside it."""

    def made(self, info: EntryInfo) -> bool:
        """Whether an entry was made from these files and this video, to the byte."""
        source_is_same = self.source is None or info.source.is_still(self.source)
        return source_is_same and info.flow_sha256 == digest(self.files)


def digest(files: Sequence[Path]) -> str:
    """SHA-256 over the names and the SHA-256 of all files, so that none can change unnoticed."""
    whole = hashlib.sha256()
    for path in sorted(files):
        with path.open("rb") as file:
            one = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.parent.name}/{path.name}\0{one}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def import_video(
    job: ImportJob, recipe: Recipe, convention: Convention, report: Report = lambda _: None
) -> EntryInfo:
    """Read the flow of one video, and the video, and write an entry.

    Raises UserError where the flow cannot be read, holds displacements that are not known and may not be
    taken for none, or does not fit the number of frames; and BrokenVideoError. Then there is no entry.
    """
    flow_sha256 = digest(job.files)
    with one_opencv_thread(), write_entry(job.entry, recipe) as writer:
        fields = format_named(recipe.options["format"]).read(job.files, convention)
        height, width = _add_flow(writer, fields, recipe, report)
        frames = writer.fields + recipe.frame_step
        if job.source is None:
            writer.leave_out_frames(frames)
            stats = [path.stat() for path in job.files]
            source = Source(
                name=job.name,
                size_bytes=sum(stat.st_size for stat in stats),
                sha256=flow_sha256,
                modified_ns=max(stat.st_mtime_ns for stat in stats),
            )
            return writer.finish(source, (width, height), None, "", flow_sha256=flow_sha256)
        source = Source.of(job.source, job.name)
        with Video(job.source) as video:
            for batch in video.frames(Resize(exact=(width, height))):
                writer.add_frames(batch)
                report((writer.fields, writer.fields))
            if writer.frames != frames or video.size is None:
                raise UserError(
                    f"{writer.fields} fields and {writer.frames} frames: flow of step "
                    f"{recipe.frame_step} has {max(writer.frames - recipe.frame_step, 0)} fields for them"
                )
            return writer.finish(
                source, video.size, video.rate, "", video.complete, flow_sha256=flow_sha256
            )


def _add_flow(
    writer: EntryWriter, fields: Iterator[Float32], recipe: Recipe, report: Report
) -> tuple[int, int]:
    """Quantise and store fields (2, H, W); returns (H, W)."""
    size: tuple[int, ...] | None = None
    while batch := list(islice(fields, _BATCH)):
        for number, field in enumerate(batch, writer.fields):
            size = size or field.shape
            if field.shape != size:
                here, before = ("{2}x{1}".format(*shape) for shape in (field.shape, size))
                raise UserError(
                    f"field {number} has {here} pixels, and the fields before it {before}"
                )
            known = np.isfinite(field)
            if not known.all() and recipe.options["unknown"] != "zero":
                raise UserError(
                    f"field {number} does not know the displacement of {np.count_nonzero(~known.all(0))} "
                    "pixels: say that they count as zero, or leave this video out",
                    "unknown",
                )
            field[~known] = 0
        writer.add_codes(*recipe.quantizer.encode(FlowStack(np.stack(batch))))
        report((writer.fields, writer.fields))
    if size is None:
        raise UserError("it holds no field")
    return size[1], size[2]
