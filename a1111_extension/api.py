"""``/gpen/v1``: restore images over the host's HTTP API."""
# pyright: reportMissingImports=false

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable
from pathlib import Path
from secrets import compare_digest
from typing import Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import call_queue, shared
from pydantic import BaseModel, Field, create_model

from gpen_nodes import (
    ORDERS,
    TASKS,
    GpenError,
    RestoreOptions,
    decode_image_file,
    encode_image_file,
)

from .host import Stopped
from .models import SHIPPED, model_files
from .restore import AUTO, restore
from .sentences import FAILURES, is_out_of_memory, tell
from .settings import LIMITS, limit

__all__ = ["add_routes"]

ACCOUNTS = ("api_auth", "auth", "auth_file")  # A1111's, Forge's and reForge's flag, then SD.Next's


OPTIONS = (
    *("detector", "template", "min_score", "quarter_turns", "min_face", "max_faces", "order"),
    *("strength", "softness", "colour", "keep_detail", "grain", "keep_front", "guard_identity"),
)
"""What the route takes of the core's options."""

_HEARD = 8  # times as large as the setting allows: such a request is dropped, and gets its answer
_URL_SAFE = str.maketrans("-_", "+/")  # to the usual alphabet of base64
# What a photo takes at most; what is smaller in pixels does no harm, however small its file is.
_PIXELS_PER_BYTE, _HARMLESS_PIXELS = 100, 2**24


class PictureRequest(BaseModel, extra="forbid"):
    image: str = Field(description="A picture file in base64, or a data URL: PNG, JPEG, WebP, AVIF, TIFF, …")
    model: str = Field(SHIPPED, description="One of /gpen/v1/models.")
    size: int | None = Field(None, description="What the model has to restore at, in px; null takes any.")
    task: Literal[(AUTO, *TASKS)] = Field(  # pyright: ignore[reportInvalidTypeForm]
        AUTO, description="What the model was trained to do; auto is what its file says or is called."
    )
    mask: str | None = Field(
        None,
        description="A picture file of the size of image. For inpaint: white where that is missing. "
        "Else: white where faces may change.",
    )


def _fields() -> dict[str, Any]:
    """The core's options as fields of the request: their defaults, ranges and descriptions."""
    fields: dict[str, Any] = {}
    for name, one in RestoreOptions().described().items():
        if name not in OPTIONS:
            continue
        choices = ORDERS if name == "order" else one.choices  # the others need a reference or a point
        text = f"{one.text} One of {', '.join(choices)}." if choices else one.text
        limits: dict[str, Any] = {}
        if one.low > -math.inf:
            limits["gt" if one.above else "ge"] = one.low
        if one.high < math.inf:
            limits["le"] = one.high
        kind: Any = one.kind if one.default is not None else one.kind | None
        fields[name] = (kind, Field(one.default, description=text, **limits))
    return fields


RestoreRequest = create_model("RestoreRequest", __base__=PictureRequest, **_fields())


class FaceReply(BaseModel):
    box: list[float] = Field(description="x0, y0, x1, y1 in px.")
    landmarks: list[list[float]] = Field(description="Eyes, nose, mouth corners: x, y in px.")
    score: float = Field(description="The detector's, in [0, 1].")
    size: float = Field(description="Side of the box in px.")
    restored: bool
    why: str = Field(description="Why it was left as it is; empty if it was restored.")
    said: str = Field(description="What of the picture stayed in it, in plain English.")


class RestoreReply(BaseModel):
    image: str = Field(description="PNG in base64, with the alpha and depth of the picture sent.")
    faces: list[FaceReply] = Field(description="One for every face that was found.")


class ModelReply(BaseModel):
    name: str
    filename: str | None = Field(description="Without its folder; null for the model that ships with it.")


class BoundedRoute(APIRoute):
    """A route that parses no more than a setting allows, and can tell what is wrong with any request."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def bounded(request: Request) -> Any:
            body = await _body(request)

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": body, "more_body": False}

            try:
                return await handle(Request(request.scope, receive))
            except RequestValidationError as error:  # its own answer holds the input, which may be NaN
                told = [{key: one[key] for key in ("loc", "msg", "type")} for one in error.errors()]
                raise HTTPException(422, told) from error

        return bounded


def add_routes(app: FastAPI) -> None:
    """Add ours to the host's own. Where those need ``--api``, so do these."""
    flags = shared.cmd_opts
    if not (getattr(flags, "api", True) or getattr(flags, "nowebui", False)):
        return
    router = APIRouter(prefix="/gpen/v1", tags=["GPEN"], dependencies=_guards(), route_class=BoundedRoute)
    router.add_api_route("/restore", restore_faces, methods=["POST"], response_model=RestoreReply)
    router.add_api_route("/models", list_models, methods=["GET"], response_model=list[ModelReply])
    app.include_router(router)


def restore_faces(request: RestoreRequest) -> dict[str, Any]:  # pyright: ignore[reportInvalidTypeForm]
    """Restore the faces of an image.

    409 if it was interrupted, 422 for what makes no sense, 503 if the machine can't do it.
    """
    options = dict(request)
    try:
        # As `gpen-nodes restore` does it, so that nothing of the image is lost.
        picture = _decoded(options.pop("image"), "image")
        if options["mask"] is not None:
            options["mask"] = _decoded(options["mask"], "mask").image[0, ..., :3].mean(dim=-1)
        result = _restored(picture.image, options)
        restored = encode_image_file(result.image, "image.png", picture)
    except Stopped as error:
        raise HTTPException(409, tell(error)) from error
    except FAILURES as error:
        told = isinstance(error, GpenError) and not is_out_of_memory(error)
        raise HTTPException(422 if told else 503, tell(error)) from error
    faces = [report.to_dict() for report in result.reports]
    return {"image": base64.b64encode(restored).decode(), "faces": faces}


def list_models() -> list[dict[str, Any]]:
    """The models that ``model`` may name."""
    return [
        {"name": name, "filename": None if path is None else path.name}
        for name, path in model_files().items()
    ]


def _restored(image: Any, options: dict[str, Any]) -> Any:
    """In the host's queue."""
    with call_queue.queue_lock:
        shared.state.begin("gpen")
        shared.state.job_count = 1  # for the host's progress, which is else unknown
        try:
            return restore(image, **options)
        finally:
            shared.state.end()


async def _body(request: Request) -> bytes:
    """All of a request, if it is no larger than the setting allows.

    What is too large is read and dropped, up to a bound: who still sends does not hear the answer.
    """
    most = limit("max_megabytes")
    named, taken, size = request.headers.get("content-length", "0"), bytearray(), 0
    if not named.isdecimal() or int(named) > _HEARD * most:
        raise _too_large(most)
    async for part in request.stream():
        size += len(part)
        if size > _HEARD * most:  # of a length that it did not name
            break
        if max(size, int(named)) <= most:
            taken += part
        else:
            taken.clear()
    if max(size, int(named)) > most:
        raise _too_large(most)
    return bytes(taken)


def _too_large(most: int) -> HTTPException:
    text = f"The request has more than {most:,} bytes. Send a smaller picture, or raise gpen_max_megabytes."
    return HTTPException(422, text)


def _decoded(file: str, field: str) -> Any:
    """The picture that a field of the request holds."""
    try:
        text = file.partition(",")[2] if file.startswith("data:") else file
        text = "".join(text.split()).translate(_URL_SAFE).rstrip("=")
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(422, f"{field} is no base64: {error}. Send a picture file in base64.") from error
    return decode_image_file(io.BytesIO(data), field, _max_pixels(len(data)))


def _max_pixels(length: int) -> int:
    """For a file of so many bytes; who has raised the setting takes all that it allows."""
    most = limit("max_megapixels")
    if most > LIMITS["max_megapixels"][0] * 1_000_000:
        return most
    return min(most, max(_HARMLESS_PIXELS, _PIXELS_PER_BYTE * length))


def _guards() -> list[Any]:
    """The host's own check of who asks, else one by its flags' accounts; nothing where it has none."""
    own: Any = getattr(shared, "api", None)  # SD.Next's
    if getattr(own, "credentials", None):
        return [Depends(own.auth)]
    flags = shared.cmd_opts
    return [Depends(_authenticate)] if any(getattr(flags, flag, None) for flag in ACCOUNTS) else []


def _accounts() -> dict[str, str]:
    """Names and passwords that the host's command line gives."""
    texts = {flag: getattr(shared.cmd_opts, flag, None) or "" for flag in ACCOUNTS}
    pairs = [*texts["api_auth"].split(","), *texts["auth"].split(",")]
    if texts["auth_file"]:
        pairs += Path(texts["auth_file"]).read_text(encoding="utf-8").splitlines()
    return dict(pair.strip().split(":", 1) for pair in pairs if ":" in pair)


def _authenticate(credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> None:  # noqa: B008  # FastAPI's way
    known = _accounts().get(credentials.username)
    if known is None or not compare_digest(credentials.password.encode(), known.encode()):
        raise HTTPException(401, "Incorrect username or password", {"WWW-Authenticate": "Basic"})
