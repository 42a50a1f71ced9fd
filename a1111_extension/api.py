"""``/gpen/v1``: restore images over the host's HTTP API."""
# pyright: reportMissingImports=false

from __future__ import annotations

import base64
import binascii
import math
import tempfile
from pathlib import Path
from secrets import compare_digest
from typing import Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from modules import call_queue, shared
from pydantic import BaseModel, Field, create_model

from gpen_nodes import (
    ORDERS,
    GpenError,
    ImageError,
    OutOfMemoryError,
    RestoreOptions,
    read_image_file,
    write_image_file,
)

from .host import Stopped
from .models import SHIPPED, model_files
from .restore import FAILURES, restore, tell

__all__ = ["add_routes"]

ACCOUNTS = ("api_auth", "auth", "auth_file")  # A1111's, Forge's and reForge's flag, then SD.Next's


OPTIONS = (
    *("detector", "template", "min_score", "quarter_turns", "min_face", "max_faces", "order"),
    *("strength", "softness", "colour", "keep_detail", "grain", "keep_front", "guard_identity"),
)
"""What the route takes of the core's options."""


class PictureRequest(BaseModel):
    image: str = Field(description="A picture file in base64, or a data URL: PNG, JPEG, WebP, TIFF, …")
    model: str = Field(SHIPPED, description="One of /gpen/v1/models.")
    size: int | None = Field(None, description="What the model has to restore at, in px; null takes any.")


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


class RestoreReply(BaseModel):
    image: str = Field(description="PNG in base64, with the alpha and depth of the picture sent.")
    faces: list[FaceReply] = Field(description="One for every face that was found.")


class ModelReply(BaseModel):
    name: str
    filename: str | None = Field(description="null for the model that ships with the pack.")


def add_routes(app: FastAPI) -> None:
    """Add ours to the host's own. Where those need ``--api``, so do these."""
    flags = shared.cmd_opts
    if not (getattr(flags, "api", True) or getattr(flags, "nowebui", False)):
        return
    options: dict[str, Any] = {"tags": ["GPEN"]}
    if any(getattr(flags, flag, None) for flag in ACCOUNTS):
        options["dependencies"] = [Depends(_authenticate)]
    app.add_api_route(
        "/gpen/v1/restore", restore_faces, methods=["POST"], response_model=RestoreReply, **options
    )
    app.add_api_route(
        "/gpen/v1/models", list_models, methods=["GET"], response_model=list[ModelReply], **options
    )


def restore_faces(request: RestoreRequest) -> dict[str, Any]:  # pyright: ignore[reportInvalidTypeForm]
    """Restore the faces of an image.

    409 if it was interrupted, 422 for what makes no sense, 503 if the machine can't do it.
    """
    options = dict(request)
    data = _decoded(options.pop("image"))
    with tempfile.TemporaryDirectory(prefix="gpen") as folder, call_queue.queue_lock:
        shared.state.begin("gpen")
        shared.state.job_count = 1  # for the host's progress, which is else unknown
        try:
            return _restored(data, Path(folder), options)
        except Stopped as error:
            raise HTTPException(409, tell(error)) from error
        except FAILURES as error:
            told = isinstance(error, GpenError) and not isinstance(error, OutOfMemoryError)
            status = 422 if told else 503
            raise HTTPException(status, tell(error)) from error
        finally:
            shared.state.end()


def list_models() -> list[dict[str, Any]]:
    """The models that ``model`` may name."""
    return [
        {"name": name, "filename": None if path is None else str(path)}
        for name, path in model_files().items()
    ]


def _restored(data: bytes, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """As ``gpen-nodes restore`` does it: from a file to a file, so that nothing of the image is lost."""
    source, target = folder / "image", folder / "image.png"
    source.write_bytes(data)
    try:
        picture = read_image_file(source)
    except ImageError as error:
        raise ImageError(str(error).replace(str(source), "image")) from error
    result = restore(picture.image, **options)
    write_image_file(target, result.image, like=picture)
    faces = [report.to_dict() for report in result.reports]
    return {"image": base64.b64encode(target.read_bytes()).decode(), "faces": faces}


def _decoded(image: str) -> bytes:
    try:
        text = image.partition(",")[2] if image.startswith("data:") else image
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(422, f"image is no base64: {error}. Send a picture file in base64.") from error


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
