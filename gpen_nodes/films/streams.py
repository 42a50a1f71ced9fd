"""What lies beside a film's picture: sound, subtitles, fonts, chapters and texts, copied as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ImageError

__all__ = ["Copies"]

# What a muxer says of the file itself, which would be wrong in another.
_OF_THE_FILE = {"encoder", "major_brand", "minor_version", "compatible_brands", "creation_time_of_file"}


class Copies:
    """The streams of a film that are copied, and how packets reach the file.

    Args:
        container: PyAV's, that is read.
        output: PyAV's, whose first stream is the picture.
        picture: the stream of ``container`` that is written anew.
        target: for messages.

    Attributes:
        inputs: the streams that are copied.
        left_out: a sentence for each that the file cannot hold.
    """

    def __init__(self, container: Any, output: Any, picture: Any, target: Path) -> None:
        self._output, self._target = output, target
        self._copies: dict[int, Any] = {}
        self._waiting: list[Any] = []
        self._started = False
        self.inputs: list[Any] = []
        left_out = []
        for stream in container.streams:
            if stream.index == picture.index:
                _describe(stream, output.streams[0])
            elif problem := self._add(stream):
                left_out.append(problem)
        self.left_out = tuple(left_out)
        output.metadata.update({k: v for k, v in container.metadata.items() if k not in _OF_THE_FILE})
        if chapters := container.chapters():
            output.set_chapters(chapters)

    def _add(self, stream: Any) -> str:
        """Register a stream's copy; why it is left out, or nothing."""
        if stream.type == "attachment":
            self._output.add_attachment(
                stream.metadata.get("filename", stream.name or "attachment"),
                stream.metadata.get("mimetype", stream.mimetype or "application/octet-stream"),
                stream.data,
            )
            return ""
        if stream.type == "data":
            kind = stream.name or "time code"
            made = kind == "bin_data" and bool(stream.container.chapters())  # a MOV's own way to store them
            return "" if made else f"A stream of data ({kind}) was left out."
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        if codec not in self._output.supported_codecs:
            raise ImageError(
                f"{self._target} cannot hold the film's {stream.type} ({codec}) as it is. Take .mkv, which "
                "holds nearly all."
            )
        copy = self._output.add_stream_from_template(stream)
        _describe(stream, copy)
        self._copies[stream.index] = copy
        self.inputs.append(stream)
        return ""

    def mux_others(self, packets: Iterator[Any]) -> Iterator[Any]:
        """Write packets of copied streams as they come; gives those of the picture."""
        for packet in packets:
            copy = self._copies.get(packet.stream.index)
            if copy is None:
                yield packet
            elif packet.size or packet.pts is not None:  # else it only says that the stream is at its end
                packet.stream = copy
                self._send(packet)

    def mux(self, packets: list[Any]) -> None:
        """Write packets of the picture, whose encoder is open by now."""
        if not self._started:
            self._started = True
            for packet in self._waiting:
                self._output.mux(packet)
            self._waiting.clear()
        self._output.mux(packets)

    def _send(self, packet: Any) -> None:
        # The file's head names the picture's size and colours, which its first frame tells.
        if self._started:
            self._output.mux(packet)
        else:
            self._waiting.append(packet)


def _describe(source: Any, copy: Any) -> None:
    """Give a stream the language, title and role of the one that it is made from."""
    copy.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _OF_THE_FILE})
    copy.disposition = source.disposition
