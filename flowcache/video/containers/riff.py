"""AVI (RIFF): every chunk states its length, and the frames lie in `movi` lists."""

from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number


def inspect(content: mmap) -> Structure:
    """The last `movi` list has to end within the file; an index missing behind it costs no frame."""
    end = position = inside_until = 0
    while position + 12 <= len(content):
        tag, length = content[position : position + 4], number(content, position + 4, 4, "little")
        kind = content[position + 8 : position + 12]
        if position >= inside_until:
            # Large files go on in further RIFF chunks; anything else behind one is slack.
            if tag != b"RIFF" or kind not in (b"AVI ", b"AVIX"):
                break
            inside_until = position + 8 + length
            position += 12  # step inside
            continue
        if not _is_name(tag):
            return broken("chunk", position)
        if tag == b"LIST" and kind == b"movi":
            if length < 4:  # the recorder never came to write it
                return Structure()
            end = position + 8 + length
        position += 8 + length + length % 2
    if not end:
        return broken("list of frames", min(position, len(content)))
    return ends_early(content, end) if end > len(content) else Structure(announced=True)


def _is_name(tag: bytes) -> bool:
    """Whether a chunk beside the frames can be called so; names of frames begin with two digits."""
    return tag.translate(None, b" _").isalnum() and not tag[:2].isdigit()
