"""What the processes say to each other, over the connections of `multiprocessing.connection`.

A child is sent calls and answers with messages: one byte that tells the kind, and a pickled value. So
that a value which cannot be read is not the end of the conversation, the kind is not pickled.

The process of a device is sent requests, the gray frames of one window, and gives for each an answer,
the quantised fields. Both are a short header and then plain numbers.
"""

import pickle
import struct
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from flowcache.errors import UserError
from flowcache.types import Codes, UInt8

STARTED, REPORT, RESULT, RAISED = b"S", b"R", b"=", b"!"
"""The kinds of messages: a call begins, says how far it is, and returns or raises."""

Address = tuple[str, bytes]
"""Where the process of a device listens, and the key that it asks for."""

_REQUEST = struct.Struct("<3q")  # frames, height, width
_ANSWER = struct.Struct("<2q")  # fields, saturated numbers; or −1 and 0 before a text
_REFUSED = -1


class UnreadableAnswerError(Exception):
    """What a child process sent cannot be unpickled here."""


def send_message(connection: Connection, kind: bytes, value: Any) -> None:
    """Send one message. A value that cannot be pickled raises, and nothing is sent."""
    connection.send_bytes(kind + pickle.dumps(value))


def split_message(message: bytes) -> tuple[bytes, bytes]:
    """A message → its kind, and the value for `read_value`."""
    return message[:1], message[1:]


def read_value(pickled: bytes) -> Any:
    """The value of a message. Raises UnreadableAnswerError where it cannot be read."""
    try:
        return pickle.loads(pickled)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise UnreadableAnswerError(
            f"what the child process answered cannot be read here: {reason}"
        ) from error


def send_request(connection: Connection, gray: UInt8) -> None:
    """Ask for the flow of gray frames, uint8 (T, H, W)."""
    connection.send_bytes(_REQUEST.pack(*gray.shape))
    connection.send_bytes(_bytes_of(np.ascontiguousarray(gray)))


def receive_shape(connection: Connection) -> tuple[int, int, int]:
    """The shape of the gray frames that come next. EOFError where no request comes any more."""
    shape: tuple[int, int, int] = _REQUEST.unpack(connection.recv_bytes())
    return shape


def receive_into(connection: Connection, array: Any) -> None:
    """Receive numbers into a contiguous array of exactly their size."""
    connection.recv_bytes_into(_bytes_of(array))


def send_answer(connection: Connection, answer: tuple[Codes, int] | str) -> None:
    """Answer with the fields and how many of their numbers saturated, or say why there are none."""
    if isinstance(answer, str):
        connection.send_bytes(_ANSWER.pack(_REFUSED, 0))
        connection.send_bytes(answer.encode())
    else:
        codes, saturated = answer
        connection.send_bytes(_ANSWER.pack(len(codes), saturated))
        connection.send_bytes(_bytes_of(np.ascontiguousarray(codes)))


def receive_answer(
    connection: Connection, shape: tuple[int, ...], dtype: np.dtype[np.signedinteger]
) -> tuple[Codes, int]:
    """The fields that were asked for. Raises UserError where they cannot be computed."""
    fields, saturated = _ANSWER.unpack(connection.recv_bytes())
    if fields == _REFUSED:
        raise UserError(connection.recv_bytes().decode())
    codes: Codes = np.empty(shape, dtype)
    receive_into(connection, codes)
    return codes, saturated


def _bytes_of(array: Any) -> memoryview:
    """The memory of a contiguous array in one dimension: a connection takes the first for the length."""
    flat: memoryview = array.reshape(-1).view(np.uint8).data
    return flat
