"""ASF and WMV: the header states the length of the file and the number of its packets of one size."""

from mmap import mmap

from flowcache.video.containers.structure import Structure, broken, ends_early, number

_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_DATA_HEADER = 50
_BROADCAST = 1
_CORRECTED = 0x82  # how a packet begins: error correction of two bytes follows


def inspect(content: mmap) -> Structure:
    """The packets have to be as many as announced, and to begin as packets do."""
    properties = content.find(_PROPERTIES, 0, 1 << 20)
    data = number(content, 16, 8, "little")  # behind the header
    if properties < 0 or content[data : data + 16] != _DATA:
        return broken("list of packets", min(data, len(content)))
    if number(content, properties + 88, 4, "little") & _BROADCAST:
        return Structure()
    count = number(content, properties + 56, 8, "little")
    size = number(content, properties + 96, 4, "little")
    first = data + _DATA_HEADER
    announced = max(number(content, properties + 40, 8, "little"), first + count * size)
    if announced > len(content):
        return ends_early(content, announced)
    corrected = size > 0 and content[first : first + 1] == bytes([_CORRECTED])
    for position in range(first, first + count * size, size) if corrected else ():
        if content[position : position + 3] != bytes([_CORRECTED, 0, 0]):
            return broken("packet", position)
    return Structure(announced=True)
