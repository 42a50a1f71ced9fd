"""Protobuf's wire format (https://protobuf.dev/programming-guides/encoding), as far as ONNX files need it."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Protobuf", "encode_field", "encode_varint"]


class Protobuf:
    """Reads messages, in no more than ``limit`` fields and packed integers altogether.

    Raises:
        ValueError: a message that is cut off, of a foreign wire type, or beyond the limit.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    def fields(self, data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """Number and value of each field of a message: an int for a varint, else the bytes."""
        at = 0
        while at < len(data):
            tag, at = self._varint(data, at)
            wire = tag & 7
            if wire == 0:
                value, at = self._varint(data, at)
                yield tag >> 3, value
                continue
            if wire == 2:
                length, at = self._varint(data, at)
            elif wire in (1, 5):
                length = 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire} at byte {at}")
            if at + length > len(data):
                raise ValueError(f"a field of {length} bytes is cut off after {len(data) - at}")
            yield tag >> 3, data[at : at + length]
            at += length

    def messages(self, data: memoryview, field: int) -> Iterator[memoryview]:
        """The messages in one field of a message."""
        return (
            value for number, value in self.fields(data) if number == field and not isinstance(value, int)
        )

    def integers(self, value: int | memoryview) -> list[int]:
        """Of a repeated int64, where it stands as one number or packed."""
        if isinstance(value, int):
            return [signed(value)]
        values, at = [], 0
        while at < len(value):
            number, at = self._varint(value, at)
            values.append(signed(number))
        return values

    def _varint(self, data: memoryview, at: int) -> tuple[int, int]:
        """The variable-length integer that starts at byte ``at``, and where it ends."""
        self._left -= 1
        if self._left < 0:
            raise ValueError("it has more parts than any model")
        value = 0
        for shift in range(0, 70, 7):
            if at >= len(data):
                raise ValueError("an integer is cut off")
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise ValueError("an integer of more than 64 bits")


def signed(value: int) -> int:
    """An int64 from its two's complement."""
    return value - 2**64 if value >= 2**63 else value


def encode_varint(value: int) -> bytes:
    """A variable-length integer; negative ones in two's complement of 64 bits."""
    value %= 2**64
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*data, value])


def encode_field(number: int, value: int | bytes | str) -> bytes:
    """One field of a message: an integer, or a text, message or other bytes with their length."""
    if isinstance(value, int):
        return encode_varint(number << 3) + encode_varint(value)
    data = value.encode() if isinstance(value, str) else value
    return encode_varint(number << 3 | 2) + encode_varint(len(data)) + data
