"""Which encoder writes a film, and what it is told."""

from __future__ import annotations

from typing import Any

from ..errors import ImageError, MissingWeightsError, OptionError

__all__ = ["choose_encoder", "choose_layout", "load_av", "quality_options"]

_OLDEST = 17, 1  # as pyproject.toml says
_INSTALL = "With the Python that runs this: pip install 'av>=17.1', then start again."

# By the codec of the film that is read; all others become H.264.
_LIKE = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp8": "libvpx-vp9",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
    "prores": "prores_ks",
    "mjpeg": "mjpeg",
}
# The option by which encoders take a constant quality, and a value at which faces look as they were restored.
_QUALITY = {
    "libx264": ("crf", 17),
    "libx264rgb": ("crf", 17),
    "libx265": ("crf", 19),
    "libsvtav1": ("crf", 22),
    "libaom-av1": ("crf", 20),
    "libvpx-vp9": ("crf", 20),
    "nvenc": ("cq", 19),
    "qsv": ("global_quality", 19),
    "videotoolbox": ("q", 70),
}


def load_av() -> Any:
    """PyAV, which is wanted by films alone.

    Raises:
        MissingWeightsError: it is not installed, or too old.
    """
    try:
        import av
    except ImportError as error:
        raise MissingWeightsError(f"Films need PyAV, which is not installed. {_INSTALL}") from error
    if tuple(map(int, av.__version__.split(".")[:2])) < _OLDEST:
        raise MissingWeightsError(f"Films need a newer PyAV than {av.__version__}. {_INSTALL}")
    return av


def choose_encoder(name: str | None, codec: str, container: Any, target: str) -> Any:
    """The encoder for a film.

    Args:
        name: as the user calls it; None takes one of the film's own codec, or what the container takes.
        codec: of the film that is read.
        container: PyAV's, that is written to.
        target: for messages.

    Raises:
        OptionError: an unknown encoder, or one whose films the container does not hold.
    """
    av = load_av()
    names = [_LIKE.get(codec, "libx264"), container.default_video_codec] if name is None else [name]
    for one in names:
        try:
            encoder = av.codec.Codec(one, "w")
        except (av.FFmpegError, ValueError) as error:
            if name is not None:
                raise OptionError(
                    f"--encoder {name}: this build of PyAV has none. Names are FFmpeg's, such as "
                    "libx264, libx265, libsvtav1, libvpx-vp9, h264_nvenc or hevc_videotoolbox."
                ) from error
            continue
        if encoder.type == "video" and encoder.canonical_name in container.supported_codecs:
            return encoder
    what = f"--encoder {name}" if name else f"a film of the codec {codec}"
    raise OptionError(f"{target} cannot hold what {what} makes. Take .mkv, or another --encoder.")


def choose_layout(encoder: Any, layout: Any, target: str) -> str:
    """The layout of pixels in which an encoder gets frames: the film's own, or one that loses nothing.

    Raises:
        ImageError: the encoder takes fewer bits or less colour than the film has.
    """
    av = load_av()
    taken = [one.name for one in encoder.video_formats or ()]
    if not taken or layout.name in taken:
        return layout.name

    def fits(name: str) -> bool:
        one = av.VideoFormat(name, 64, 64)
        fine = one.components and one.components[0].bits >= layout.components[0].bits
        return bool(fine) and (
            one.is_rgb == layout.is_rgb
            and one.chroma_width(64) >= layout.chroma_width(64)
            and one.chroma_height(64) >= layout.chroma_height(64)
        )

    fitting = [name for name in taken if fits(name)]
    if layout.is_rgb and layout.components[0].bits == 8 and not fitting:
        fitting = [name for name in ("yuv444p", "yuv420p") if name in taken][:1]  # what players show
    if not fitting:
        raise ImageError(
            f"{target}: the film holds pixels as {layout.name}, and {encoder.name} takes {', '.join(taken)}. "
            "Something would be lost: take another --encoder, such as libx265 or ffv1 in a .mkv."
        )
    return min(fitting, key=lambda name: av.VideoFormat(name, 64, 64).bits_per_pixel)


def quality_options(encoder: str, crf: float | None) -> dict[str, str]:
    """An encoder's options for constant quality; by default so good that faces look as they were restored.

    Args:
        crf: on the encoder's own scale.

    Raises:
        OptionError: an encoder that has none, though it is asked for.
    """
    known = _QUALITY.get(encoder) or _QUALITY.get(encoder.rpartition("_")[2])
    if known is None:
        if crf is not None:
            raise OptionError(f"--crf: the encoder {encoder} has no constant quality. Leave --crf out.")
        return {}
    name, default = known
    options = {name: f"{default if crf is None else crf:g}"}
    if encoder.startswith("libvpx") or encoder == "libaom-av1":
        options["b"] = "0"  # else crf only limits a bit rate
    if encoder == "libx265":
        options["x265-params"] = "log-level=error"
    if name == "cq":
        options["rc"] = "vbr"
    return options
