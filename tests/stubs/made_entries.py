"""Cache entries whose content is known, written by the tests themselves."""

import hashlib
import json
from fractions import Fraction

import cv2
import h5py
import numpy as np

from flowcache.cache.info import Source
from flowcache.cache.recipe import FORMAT_VERSION
from flowcache.cache.store import FlowCache
from flowcache.cache.writer import write_entry
from flowcache.errors import UserError
from flowcache.types import FlowStack, Frames

SOURCE = Source(name="a/v.avi", size_bytes=10, sha256="00", modified_ns=5)


def smooth_flow(fields, height, width, scale=5.0, seed=0):
    """Fields such as algorithms give, some of it beyond 20 px where scale says so."""
    random = np.random.default_rng(seed)
    coarse = random.normal(0, scale, (fields, 2, 4, 5)).astype(np.float32)
    resized = [
        cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for f in coarse for c in f
    ]
    return np.stack(resized).reshape(fields, 2, height, width)


def write(path, recipe, flow, rgb, times=None, batches=1, **finish):
    values = {"source": SOURCE, "size": (99, 77), "rate": Fraction(25), "partial": ""} | finish
    times = np.arange(len(rgb)) / 25 if times is None else times
    with write_entry(path, recipe) as writer:
        for part in np.array_split(np.arange(len(rgb)), batches):
            writer.add_frames(Frames(rgb[part], times[part]))
        for part in np.array_split(np.arange(len(flow)), batches) if len(flow) else []:
            writer.add_codes(*recipe.quantizer.encode(FlowStack(flow[part])))
        assert (writer.frames, writer.fields) == (len(rgb), len(flow))
        return writer.finish(**values)


def reseal(path, version=FORMAT_VERSION):
    """Seal an entry again by the rule in its own first bytes, so that only its content is wrong."""
    raw = path.read_bytes()
    digest = hashlib.sha256(raw[512:]).hexdigest()
    text = (
        f"twostream flow cache entry, format {version}\nsha256 of the bytes from 512 on: {digest}\n"
    )
    path.write_bytes(text.encode().ljust(512, b"\0") + raw[512:])


def rewrite_as_format(path, version):
    """Make an entry what format 1 or 2 would have written: text of variable length, in the heap."""
    with h5py.File(path, "r+") as file:
        for owner in (file, *file.values()):
            for name, value in owner.attrs.items():
                if isinstance(value, bytes):
                    owner.attrs[name] = value.decode()
        info = json.loads(file.attrs["info"])
        info["recipe"]["format_version"] = version
        if version == 1:
            del info["recipe"]["backend"], file["flow"].attrs["codec"]
        file.attrs["info"] = json.dumps(info, sort_keys=True)
    reseal(path, version)


def read_again_and_again(entry, rounds, replies):
    """In a child process: read every field and its frame, and say what they add up to."""
    totals = set()
    for _ in range(rounds):
        for index in range(entry.info.fields):
            codes, rgb = entry.codes[index], entry.rgb[index]
            totals.add((index, int(codes.astype(int).sum()), int(rgb.astype(int).sum())))
    replies.put(sorted(totals))


def try_to_write(root, replies):
    """In a child process: ask for the right to write to a cache, and say what the answer was."""
    try:
        with FlowCache.open(root).writing():
            replies.put("in")
    except UserError as error:
        replies.put(str(error))
