"""What judgement keeps and what it costs, on photos of people whom no model has seen: see docs/judgement.md.

A photo's name begins with its person's, up to the first ``_``: two photos of one person calibrate the guard.
The constants of gpen_nodes/judgement were fitted on every second person (``--part fitted``); figures are of
the others.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from report import Row, describe_machine, table, write_json
from torch import Tensor
from tqdm import tqdm

import gpen_nodes as gpen
from gpen_nodes.backbones import load_vgg
from gpen_nodes.degradation import degrade
from gpen_nodes.evaluation.figures import feature_figure, identity_figure
from gpen_nodes.evaluation.metrics import luma_energy, psnr
from gpen_nodes.evaluation.protocols import PROTOCOLS
from gpen_nodes.evaluation.samples import as_saved
from gpen_nodes.faces.identity import FaceEmbedder
from gpen_nodes.faces.regions import region_windows
from gpen_nodes.facesets import generator_of
from gpen_nodes.image_files import find_image_files
from gpen_nodes.images import resize, ycbcr
from gpen_nodes.judgement import guard_identity, judge_face, measure_held

PROTOCOL = PROTOCOLS["held-out-512"]
HOST = gpen.LocalHost("cpu")


@dataclass(frozen=True)
class Face:
    """The largest face of a photo: the photo, where it lies, and its crop at the protocol's size."""

    person: str
    name: str
    photo: Tensor
    found: gpen.AlignedFace
    truth: Tensor

    def degraded(self, level: str, truth: Tensor | None = None) -> Tensor:
        """[S, S, 3], or another crop degraded in the same way."""
        whole = (self.truth if truth is None else truth)[None]
        recipe, generator = PROTOCOL.levels[level], generator_of(self.name, PROTOCOL.seed)
        assert recipe is not None
        return as_saved(degrade(whole, recipe, generator, enlarge=PROTOCOL.enlarge)[0])[0]


class Bench:
    """A model, an embedder, and what is measured with them."""

    def __init__(self, restorer: gpen.Restorer, embedder: FaceEmbedder, features: Path | None) -> None:
        self.restorer, self.embed = restorer, embedder.embed
        self.measures = {
            "psnr": lambda a, t: psnr(a, t).item(),
            "luma": lambda a, t: psnr(ycbcr(a)[:, :1], ycbcr(t)[:, :1]).item(),
            "chroma": lambda a, t: psnr(ycbcr(a)[:, 1:], ycbcr(t)[:, 1:]).item(),
            "energy": lambda a, t: luma_energy(a, t).item(),
            "identity": identity_figure(embedder, PROTOCOL.template),
        }
        if features is not None:
            self.measures["features"] = feature_figure(load_vgg(features))

    def restored(self, crop: Tensor) -> Tensor:
        return resize(self.restorer.restore(crop[None], HOST), *crop.shape[:2])[0]

    def judged(self, crop: Tensor) -> Tensor:
        return as_saved(judge_face(crop, self.restored(crop), embed=self.embed)[0])

    def figures(self, crop: Tensor, truth: Tensor) -> Row:
        planes = [one[None].permute(0, 3, 1, 2) for one in (crop, truth)]
        return {name: measure(*planes) for name, measure in self.measures.items()}


def find(photos: Iterable[Path], part: str, count: int | None) -> Iterator[Face]:
    """The faces of that part's people, or of so many of them, from all over."""
    own = {path: path.stem.split("_")[0] for path in photos}
    persons = sorted(set(own.values()))
    chosen = {"fitted": persons[::2], "held-out": persons[1::2], "all": persons}[part]
    chosen = chosen[:: -(-len(chosen) // count)] if count else chosen
    for path in tqdm([path for path in own if own[path] in chosen], "photos"):
        photo = gpen.read_image_file(path).image
        if found := gpen.find_faces(photo):
            (aligned,) = gpen.align_faces(photo, found[:1], PROTOCOL.size)
            yield Face(own[path], path.stem, photo, aligned, as_saved(aligned.crop))


# Whole photos, which are sharp


def passing(face: Face, bench: Bench) -> Row:
    """What the whole way does to a sharp photo, to the same in gray, and to its own result."""
    once, (x0, y0, x1, y1) = _pasted(face.photo, face, bench), (max(0, round(v)) for v in face.found.box)
    inside = slice(None), slice(y0, y1), slice(x0, x1)
    luma = ycbcr(face.photo.permute(0, 3, 1, 2))[:, 0, :, :, None]
    gray = _pasted(luma.expand(-1, -1, -1, 3).contiguous(), face, bench)
    return {
        "sharpness": _sharpness(once[inside]) / _sharpness(face.photo[inside]),
        "tint": 255 * (gray.amax(-1) - gray.amin(-1)).max().item(),
        "again": 255 * (_pasted(once, face, bench) - once)[inside].abs().mean().item(),
    }


def _pasted(photo: Tensor, face: Face, bench: Bench) -> Tensor:
    aligned = gpen.align_faces(photo, [face.found], bench.restorer.input_size)
    verdicts = gpen.judge_faces(photo, aligned, gpen.restore_faces(bench.restorer, aligned, HOST))
    return as_saved(gpen.paste_back(photo, [one.face for one in verdicts if one.accepted])[0])


def _sharpness(photo: Tensor) -> float:
    """Standard deviation of the luma's Laplacian."""
    luma = ycbcr(photo.permute(0, 3, 1, 2))[:, :1]
    return F.conv2d(luma, luma.new_tensor([[[[0, 1, 0], [1, -4, 1], [0, 1, 0]]]])).std().item()


# Degraded faces


def restoring(face: Face, bench: Bench) -> Iterator[Row]:
    """Figures of the input, the model and the judged face; what a second pass changes of the last."""
    for level in PROTOCOL.levels:
        before = face.degraded(level)
        after = bench.restored(before)
        crop, decided = judge_face(before, after, embed=bench.embed)
        crop = as_saved(crop)
        assert decided.detail is not None
        assert decided.identity is not None
        again, own = bench.judged(crop), bench.figures(crop, face.truth)
        freely = as_saved(judge_face(before, after, in_front=False)[0])
        yield {"level": level, "system": "input"} | bench.figures(before, face.truth)
        yield {"level": level, "system": "model"} | bench.figures(as_saved(after), face.truth)
        yield {
            "level": level,
            "system": "judged",
            **own,
            "again_db": bench.figures(again, face.truth)["psnr"] - own["psnr"],
            "again": 255 * (again - crop).abs().mean().item(),
            "front_db": own["psnr"] - bench.figures(freely, face.truth)["psnr"],
            "alarms": float(decided.identity.strength < 1),
            "held": decided.detail.held,
        }


# Who it is


def people(faces: Sequence[Face], bench: Bench) -> Iterator[Row]:
    """Cosines of judged faces to inputs, and whether the guard acts: on themselves, on others, on swaps."""
    eyes = _eyes()
    for level in PROTOCOL.levels:
        befores = [face.degraded(level) for face in faces]
        crops = [bench.judged(before) for before in befores]
        for index, (face, before) in enumerate(zip(faces, befores, strict=True)):
            other = next(
                k for k in range(index + 1, 2 * len(faces)) if faces[k % len(faces)].person != face.person
            )
            made = {"the same": crops[index], "another person": crops[other % len(faces)]}
            made["another's eyes"] = torch.lerp(crops[index], made["another person"], eyes)
            for k, one in enumerate(faces):
                if one.person == face.person and k != index:
                    made["their other photo"] = crops[k]
            for kind, crop in made.items():
                kept = guard_identity(before, crop, measure_held(before, crop), bench.embed)[1]
                yield {"level": level, "kind": kind, "cosine": kept.found, "acts": float(kept.strength < 1)}


def _eyes() -> Tensor:
    """[S, S, 1], soft: where both eyes are."""
    mask = torch.zeros(1, 1, PROTOCOL.size, PROTOCOL.size)
    for top, left, height, width in region_windows(PROTOCOL.template, PROTOCOL.size)[:2]:
        mask[..., top : top + height, left : left + width] = 1
    return F.avg_pool2d(mask, 31, 1, 15)[0, 0, :, :, None]


# What is in front


def covering(face: Face, bench: Bench) -> Iterator[Row]:
    """What becomes of things before a face, drawn on it before it is degraded, in a face that is sound."""
    side = torch.arange(PROTOCOL.size)
    y, x = torch.meshgrid(side, side, indexing="ij")
    things = {
        "bar": ((x - 0.3 * y - 150).abs() < 30, (0.1, 0.1, 0.1)),
        "microphone": (((x - 300) / 60) ** 2 + ((y - 380) / 80) ** 2 < 1, (0.2, 0.2, 0.25)),
        "hand": (((x - 180) / 90) ** 2 + ((y - 350) / 50) ** 2 < 1, (0.8, 0.6, 0.5)),
        "mask": ((y > 330) & ((x - 256).abs() < 130), (0.6, 0.75, 0.85)),
    }
    for level in PROTOCOL.levels:
        bare = bench.restored(face.degraded(level))
        for thing, (mask, colour) in things.items():
            truth = torch.where(mask[..., None], torch.tensor(colour), face.truth)
            before = face.degraded(level, truth)
            restored = bench.restored(before)
            # Also as if the network had not seen the thing: what it paints over has to come back.
            for painted, after in (
                ("seen", restored),
                ("painted over", torch.where(mask[..., None], bare, restored)),
            ):
                crop = judge_face(before, after)[0]
                changed = (255 * (one - before).abs()[mask].mean().item() for one in (after, crop))
                row = dict(zip(("model", "judged"), changed, strict=True))
                yield {"level": level, "thing": thing, "model_makes": painted} | row


def means(rows: Sequence[Row], *keys: str) -> list[Row]:
    """One row for each combination of ``keys``, with the means of all figures, least and largest of some."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[key] for key in keys)].append(row)
    found = []
    for values, own in groups.items():
        numbers = [name for name in own[-1] if name not in keys]
        row: Row = dict(zip(keys, values, strict=True)) | {"count": len(own)}
        for name in numbers:
            figures = [one[name] for one in own if name in one]
            row |= {
                name: statistics.fmean(figures),
                f"least {name}": min(figures),
                f"most {name}": max(figures),
            }
        found.append(row)
    return found


def columns(*names: str) -> dict[str, tuple[str, str]]:
    return {name: (name.replace("_", " "), ".3f" if name not in KEYS else "") for name in names}


KEYS = ("what", "level", "system", "kind", "thing", "model_makes", "count")
TABLES = {
    "passing": (("what",), ("count", "sharpness", "least sharpness", "most tint", "again", "most again")),
    "restoring": (
        ("level", "system"),
        (
            *("count", "psnr", "luma", "chroma", "energy", "identity", "features"),
            *("again_db", "again", "front_db", "alarms", "least held", "most held"),
        ),
    ),
    "people": (("level", "kind"), ("count", "least cosine", "cosine", "most cosine", "acts")),
    "covering": (("level", "thing", "model_makes"), ("count", "model", "judged")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", help="photos or folders of photos")
    parser.add_argument("--embedder", required=True, metavar="MobileFaceNet.onnx")
    parser.add_argument("--features", type=Path, metavar="vgg19_16x_5SE.pth", help="else not measured")
    parser.add_argument("--model", help="else the one that ships")
    parser.add_argument("--part", choices=("held-out", "fitted", "all"), default="held-out")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--count", type=int, help="only so many people, from all over the part")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    restorer = gpen.get_restorer(args.model or gpen.shipped_model(), "fp32")
    bench = Bench(restorer, FaceEmbedder.load(args.embedder), args.features)
    photos = [path for name in args.photos for path in find_image_files(name)]
    print(describe_machine("torch"), flush=True)
    with torch.inference_mode():
        faces = list(find(photos, args.part, args.count))
        every: list[Row] = []
        for name in args.only:
            rows = _rows(name, faces, bench)
            every += [{"table": name} | row for row in rows]
            keys, figures = TABLES[name]
            print(f"\n{name}\n\n{table(means(rows, *keys), columns(*keys, *figures))}", flush=True)
    write_json(every, args.json)


def _rows(name: str, faces: Sequence[Face], bench: Bench) -> list[Row]:
    if name == "people":
        return list(people(faces, bench))
    each = {"restoring": restoring, "covering": covering}.get(
        name, lambda *given: [{"what": "faces"} | passing(*given)]
    )
    return [row for face in tqdm(faces, name) for row in each(face, bench)]


if __name__ == "__main__":
    main()
