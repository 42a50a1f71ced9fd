"""Comparisons whose outcome is known beforehand."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpen_nodes import EVALUATION_RECIPE, DegradationRecipe, ImageError, OptionError, degrade
from gpen_nodes.evaluation.compare import compare
from gpen_nodes.evaluation.measures import Measure, Measures, gather_measures
from gpen_nodes.evaluation.metrics import chroma_energy
from gpen_nodes.evaluation.protocols import PROTOCOLS, Protocol
from gpen_nodes.evaluation.report import Summary
from gpen_nodes.evaluation.samples import DegradedFaces, PictureFolder, Sample, as_saved
from gpen_nodes.evaluation.systems import Bicubic, Model, Results, Unsharp, Untouched
from gpen_nodes.image_files import write_image_file
from gpen_nodes.inference import Restorer

PROTOCOL = Protocol("for tests", 64, {"mild": DegradationRecipe(scale=(2, 2)), "medium": EVALUATION_RECIPE})


@pytest.fixture
def samples(faces):
    return DegradedFaces(faces, [f"face{k:02}" for k in range(len(faces))], PROTOCOL)


class Oracle:
    name = "oracle"

    def restore(self, sample):
        return sample.truth


def means(found, measure="PSNR (dB)"):
    groups = {}
    for row in found.rows:
        groups.setdefault((row.level, row.system), []).append(row.figures[measure])
    return {key: sum(values) / len(values) for key, values in groups.items()}


def test_who_knows_the_truth_wins(samples, plain_measures):
    found = compare(samples, [Untouched(), Bicubic(), Oracle()], plain_measures)
    assert [(row.level, row.picture, row.system) for row in found.rows] == [
        (level, name, system)
        for level in ("mild", "medium")
        for name in samples.names
        for system in ("degraded", "bicubic", "oracle")
    ]
    values = means(found)
    assert values["mild", "oracle"] == values["medium", "oracle"] == math.inf
    assert values["mild", "degraded"] > values["medium", "degraded"] > 15
    assert not found.problems


def degraded_of(sample: Sample) -> Tensor:
    assert sample.degraded is not None
    return sample.degraded


def truth_of(sample: Sample) -> Tensor:
    assert sample.truth is not None
    return sample.truth


def test_a_face_is_degraded_the_same_way_whatever_others_there_are(faces, samples):
    """By its name: not by its place, nor by the folder that it lies in."""
    fewer = DegradedFaces(faces[2::-1], [f"deeper/{name}" for name in samples.names[2::-1]], PROTOCOL)
    for level in PROTOCOL.levels:
        one, other = degraded_of(samples.sample(level, 2)), degraded_of(fewer.sample(level, 0))
        assert torch.equal(one, other)
        assert not torch.equal(one, degraded_of(samples.sample(level, 1)))
    reseeded = DegradedFaces(faces, samples.names, dataclasses.replace(PROTOCOL, seed=1))
    one, other = reseeded.sample("medium", 2), samples.sample("medium", 2)
    assert not torch.equal(degraded_of(one), degraded_of(other))


def test_a_protocol_says_how_a_small_picture_is_enlarged(faces):
    def degraded(enlarge):
        protocol = dataclasses.replace(PROTOCOL, enlarge=enlarge)
        return DegradedFaces(faces, samples_names, protocol).sample("mild", 0)

    samples_names = [str(k) for k in range(len(faces))]
    linear, cubic = degraded("linear"), degraded("cubic")
    assert (degraded_of(cubic) - degraded_of(linear)).abs().max() > 0.02
    error = [(degraded_of(s) - truth_of(s)).square().mean() for s in (cubic, linear)]
    assert error[0] < error[1]  # of the same small picture more is kept


def test_bicubic_of_a_smooth_picture_is_nearly_the_picture():
    ramp = torch.linspace(0.2, 0.8, 64).view(1, 64, 1).expand(64, 64, 3)
    recipe = DegradationRecipe((4, 4), blur_probability=0, motion_probability=0, noise_probability=0,
                               jpeg_probability=0, colour_probability=0)  # fmt: skip
    sample = DegradedFaces([ramp], ["ramp"], Protocol("", 64, {"x": recipe})).sample("x", 0)
    assert (Bicubic().restore(sample)[:, :, 8:-8] - truth_of(sample)[:, :, 8:-8]).abs().max() < 0.01


def test_unsharp_steepens_an_edge(faces):
    edge = torch.full((64, 64, 3), 0.3)
    edge[:, 32:] = 0.7
    sample = DegradedFaces([edge], ["edge"], PROTOCOL).sample("medium", 0)
    plain, sharp = (system.restore(sample)[0, 16:48, :, 0].mean(0) for system in (Bicubic(), Unsharp()))
    assert sharp.diff().max() > 1.2 * plain.diff().max()


def test_what_is_smaller_is_brought_to_the_size_and_all_is_rounded(samples):
    seen = []

    class Half:
        name = "half"

        def restore(self, sample):
            return F.interpolate(sample.truth.permute(0, 3, 1, 2), scale_factor=0.5).permute(0, 2, 3, 1)

    def look(picture, truth):
        seen.append(picture)
        assert picture.shape == truth.shape == (1, 3, 64, 64)
        return 0.0

    compare(samples, [Half()], Measures((Measure("looked", "higher", look),)), count=2)
    assert len(seen) == 4
    assert all((picture * 255 - (picture * 255).round()).abs().max() < 1e-4 for picture in seen)


def test_written_results_have_the_figures_of_their_system(samples, plain_measures, tmp_path):
    """A table of pictures that were saved is the table of the system that made them."""

    def seen(sample, system, picture):
        write_image_file(tmp_path / sample.level / f"{sample.name}.png", picture)

    for level in PROTOCOL.levels:
        (tmp_path / level).mkdir()
    first = compare(samples, [Bicubic()], plain_measures, seen=seen)
    again = compare(samples, [Results("saved", tmp_path)], plain_measures)
    assert [row.figures for row in again.rows] == [row.figures for row in first.rows]


def test_one_failure_is_a_problem_and_the_others_go_on(samples, plain_measures, tmp_path):
    for name in samples.names[:-1]:
        write_image_file(tmp_path / f"{name}.png", torch.rand(64, 64, 3))
    (tmp_path / "face03.png").write_bytes(b"broken")
    found = compare(samples, [Results("theirs", tmp_path), Untouched()], plain_measures)
    assert len(found.rows) == 2 * (9 + 11)
    assert len(found.problems) == 4
    assert found.problems[0].startswith("theirs, face03: ")
    assert "holds no picture named face10" in found.problems[1]


def test_colour_energy_of_a_set_is_that_of_all_its_colour(samples):
    found = compare(samples, [Untouched()], gather_measures(), count=3)
    rows = [row for row in found.rows if row.level == "mild"]
    energies = [chroma_energy(samples.sample("mild", k).planes).item() for k in range(3)]
    ours = sum(row.figures["colour energy"] * energy for row, energy in zip(rows, energies, strict=True))
    (line,) = (line for line in Summary(found, gather_measures()).lines if line[0] == "mild")
    column = list(Summary(found, gather_measures()).columns).index("colour energy")
    assert line[3][column] == pytest.approx(ours / sum(energies))


def test_what_is_shown_is_from_all_parts_of_the_set_and_stays_in_its_row(samples, plain_measures, tmp_path):
    for name in samples.names:
        write_image_file(tmp_path / f"{name}.png", samples.sample("mild", samples.names.index(name)).truth[0])
    (tmp_path / "face02.png").unlink()
    found = compare(samples, [Results("theirs", tmp_path), Untouched()], plain_measures)
    truths, theirs = found.shown["mild", "truth"], found.shown["mild", "theirs"]
    assert [len(pictures) for pictures in found.shown.values()] == [6] * 6
    assert torch.equal(truths[5], samples.sample("mild", 10).truth[0])
    for row, (truth, their) in enumerate(zip(truths, theirs, strict=True)):
        assert torch.equal(truth, their) == (row != 1)


def test_without_truth_only_what_needs_none_is_measured(faces):
    protocol = Protocol("", 64, {"as it is": None})
    calls = []
    measures = Measures(
        (
            Measure("PSNR (dB)", "higher", lambda *_: pytest.fail("there is no truth")),
            Measure(
                "mean", "lower", lambda picture, truth: calls.append(truth) or picture.mean().item(), False
            ),
        )
    )
    found = compare(DegradedFaces(faces, list("abcdefghijk"), protocol), [Untouched()], measures)
    assert [list(row.figures) for row in found.rows] == [["mean"]] * 11
    assert calls == [None] * 11


@pytest.mark.parametrize("count", [0, -1])
def test_nothing_to_compare_is_refused(samples, plain_measures, count):
    with pytest.raises(OptionError, match="expected at least one"):
        compare(samples, [Untouched()], plain_measures, count=count)
    with pytest.raises(OptionError, match="names that differ"):
        compare(samples, [Untouched(), Untouched()], plain_measures)


def test_the_global_random_state_is_left_alone(samples, plain_measures):
    before = torch.get_rng_state()
    compare(samples, [Untouched()], plain_measures, count=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_restores_at_its_own_size(faces, tiny_checkpoint, recording_host, plain_measures):
    larger = Protocol("", 128, {"medium": EVALUATION_RECIPE})
    model = Model("tiny", Restorer.from_file(str(tiny_checkpoint)), recording_host())
    found = compare(
        DegradedFaces(faces, [str(k) for k in range(11)], larger), [model], plain_measures, count=2
    )
    assert len(found.rows) == 2
    assert found.shown["medium", "tiny"][0].shape == (128, 128, 3)


def test_protocols_are_what_the_documentation_says():
    assert list(PROTOCOLS) == ["portraits-256", "portraits-512", "held-out-512", "celeba-hq", "lfw"]
    for name, size in (("portraits-256", 256), ("portraits-512", 512)):
        protocol = PROTOCOLS[name]
        assert (protocol.size, protocol.seed, protocol.template) == (size, 0, "gpen")
        drawn = {level: degrade(torch.rand(16, 16, 3), recipe, torch.Generator().manual_seed(0))[1][0]
                 for level, recipe in protocol.levels.items() if recipe}  # fmt: skip
        assert [f"{values}" for values in drawn.values()] == [
            "×2, blur σ 0.75, noise σ 5, JPEG 80",
            "×4, blur σ 1.5, noise σ 12.5, JPEG 55",
            "×8, blur σ 3, noise σ 20, JPEG 35",
        ]
    held_out = PROTOCOLS["held-out-512"]
    assert (held_out.size, held_out.template, held_out.enlarge) == (512, "gpen", "cubic")
    drawn = [
        degrade(torch.rand(16, 16, 3), recipe, torch.Generator())[1][0]
        for recipe in held_out.levels.values()
        if recipe
    ]
    assert [f"{values}" for values in drawn] == [
        "×2, blur σ 1, noise σ 4, JPEG 85",
        "×4, blur σ 2, noise σ 10, JPEG 60",
        "×8, blur σ 4, noise σ 18, JPEG 40",
    ]
    assert PROTOCOLS["celeba-hq"].levels == {"drawn": DegradationRecipe()}
    assert PROTOCOLS["lfw"].levels == {"as it is": None}
    assert all(PROTOCOLS[name].template == "ffhq" for name in ("celeba-hq", "lfw"))


def test_picture_folders(tmp_path):
    with pytest.raises(ImageError, match="holds no picture"):
        PictureFolder(tmp_path)
    (tmp_path / "sub").mkdir()
    picture = torch.rand(8, 8, 3)
    write_image_file(tmp_path / "sub" / "b.png", picture)
    write_image_file(tmp_path / "a.png", torch.rand(8, 10, 3))
    folder = PictureFolder(tmp_path)
    assert folder.names == ["a", "sub/b"]
    assert torch.equal(folder.read("sub/b")[0], as_saved(picture))
    write_image_file(tmp_path / "a.jpg", torch.rand(8, 8, 3))
    with pytest.raises(OptionError, match="have one name"):
        PictureFolder(tmp_path)
