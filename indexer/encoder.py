"""From pictures and texts to unit vectors: the ``Encoder`` protocol and OpenCLIP behind it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from indexer.backends import AUTO, Pictures, device_for, in_force, open_pictures
from indexer.cache import export_folder
from indexer.devices import found_devices
from indexer.discover import fingerprint
from indexer.errors import ModelError, first_line
from indexer.frames import PictureSpec, fit_picture
from indexer.model_names import HUB, LOCAL, RANDOM_WEIGHTS, demand_model
from indexer.vectors import Float32, UInt8, unit

if TYPE_CHECKING:
    from PIL.Image import Image


class Encoder(Protocol):
    """What turns pictures and texts into vectors of one space.

    Attributes:
        name: the model's name as ``--model`` takes it.
        fingerprint: of the weights for local models, empty for published ones.
        dimension: D.
        picture: the size and cut that the model's pictures have.
        device: where it runs, such as ``cpu`` or ``cuda:0``.
        demo_only: True for a model that knows nothing of real footage.
    """

    name: str
    fingerprint: str
    dimension: int
    picture: PictureSpec
    device: str
    demo_only: bool

    def encode_pictures(self, pictures: UInt8) -> Float32:
        """(b, H, W, 3) uint8 RGB as ``picture`` says → (b, D) float32 unit vectors."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """q texts → (q, D) float32 unit vectors."""
        ...


def encode_images(encoder: Encoder, images: Sequence[Image]) -> Float32:
    """Pillow images of any size → (b, D) float32 unit vectors."""
    return encoder.encode_pictures(np.stack([fit_picture(image, encoder.picture) for image in images]))


class OpenClipEncoder:
    """An OpenCLIP model: published (``NAME/PRETRAINED``), on the hub (``hf-hub:ORG/REPO``) or in a
    folder with ``open_clip_config.json`` and weights (``local-dir:PATH``).

    ``NAME/random`` has random weights: as fast as trained ones, for measuring speed.

    Args:
        model: the name.
        device: ``auto`` (a GPU where a small computation on it works), ``cpu``, ``cuda`` or ``cuda:N``.
        name: what to call it in the library, where that is not ``model`` itself.
        demo_only: the model knows nothing of real footage.
        backend: what runs the picture half, one of :data:`indexer.settings.BACKENDS`.

    Attributes:
        network, tokenizer: OpenCLIP's own objects; a backend may round the weights of the picture half.
        backend: the one in force, never ``auto``.

    Raises:
        ModelError: unknown name, weights that cannot be had, unusable device.
        InputError: no such backend, or not here.
    """

    def __init__(
        self, model: str, device: str = "auto", name: str = "", demo_only: bool = False, backend: str = AUTO
    ) -> None:
        wanted = device_for(backend, device)
        demand_model(model)  # before the seconds that importing torch takes
        _import_torch()
        self.name = name or model
        self.demo_only = demo_only
        self.fingerprint = weights_fingerprint(model)
        self.device = pick_device(wanted)
        self.backend = in_force(backend, self.device)
        self.network, self.tokenizer = _load(model, self.device)
        settings = self.network.visual.preprocess_cfg
        self._scale: tuple[Sequence[float], Sequence[float]] = (settings["mean"], settings["std"])
        height, width = _height_width(settings["size"])
        self.picture = PictureSpec(
            height=height,
            width=width,
            resize_mode=settings["resize_mode"],
            interpolation=settings["interpolation"],
            fill_color=settings["fill_color"],
        )
        self._opening = threading.Lock()
        self._opened: Pictures | None = None
        self.dimension = int(self.encode_texts(["a"]).shape[1])

    def encode_pictures(self, pictures: UInt8) -> Float32:
        """See :class:`Encoder`."""
        if len(pictures) == 0:
            return np.zeros((0, self.dimension), np.float32)
        return unit(self._pictures().features(pictures))

    def _pictures(self) -> Pictures:
        """The picture half, made ready when it is first needed: a search by words needs none."""
        with self._opening:
            if self._opened is None:
                self._opened = self._open_pictures()
            return self._opened

    def _open_pictures(self) -> Pictures:
        from indexer.picture_tower import PictureTower

        tower = PictureTower(self.network, *self._scale)
        size = (self.picture.height, self.picture.width)
        return open_pictures(self.backend, tower, size, export_folder(self.name, self.fingerprint))

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """See :class:`Encoder`."""
        import torch

        with torch.inference_mode():
            tokens = self.tokenizer(list(texts)).to(self.device)
            return unit(self.network.encode_text(tokens).float().cpu().numpy())


_WAITING = "OMP_WAIT_POLICY"


def _import_torch() -> None:
    """Import torch so that its threads sleep while they wait for each other.

    By default they spin and so keep the decode processes, and the thread they wait for, from the cores: beside
    busy processes the encoder took twice as long. libgomp reads the variable once, as it is loaded.
    """
    if "torch" in sys.modules or _WAITING in os.environ:
        return
    os.environ[_WAITING] = "PASSIVE"
    try:
        import torch  # noqa: F401
    finally:
        del os.environ[_WAITING]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an encoder failed for want of memory: CUDA's, or the machine's."""
    words = ("out of memory", "can't allocate memory", "failed to allocate")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def pick_device(device: str) -> str:
    """``auto`` → ``cuda`` where a computation on the GPU works, else ``cpu``.

    Raises:
        ModelError: a device that does not exist or does not compute.
    """
    import torch

    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return "cpu"
    wanted = "cuda" if device == "auto" else device
    try:
        torch.ones(2, 2, device=wanted).matmul(torch.ones(2, 2, device=wanted)).sum().item()
    except (RuntimeError, AssertionError) as error:
        if device == "auto":
            return "cpu"
        raise ModelError(f"device {device!r} cannot be used: {_why(error)}", "Use --device cpu or auto") from error
    return wanted


def demand_devices(text: str) -> None:
    """Refuse what ``--device`` names where it is not here or does not compute; torch is imported for GPUs only.

    Raises:
        InputError: no device's name.
        ModelError: a device that does not exist or does not compute.
    """
    if text in ("auto", "cpu"):
        return
    for device in found_devices(text):
        pick_device(device)


def _why(error: Exception) -> str:
    """What torch says of a device, less its list of all devices that exist and its advice."""
    reason = first_line(error)
    if reason.startswith(("Expected one of", "Invalid device string")):
        return "torch knows no such device"
    return reason.split(". ")[0]


def _load(model: str, device: str) -> tuple[Any, Any]:
    """What is on this machine is used as it is, and nobody is asked for news of it; the rest is downloaded."""
    _demand_safetensors(model)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    names = _split(model)
    try:
        with _offline():
            return _create(*names, device)
    except Exception as error:  # the hub, the file system and torch each raise their own
        if model.startswith(LOCAL) or not _reaches_hub():
            raise _cannot_load(model, error) from error
    try:
        return _create(*names, device)
    except Exception as error:
        raise _cannot_load(model, error) from error


def _create(architecture: str, pretrained: str | None, device: str) -> tuple[Any, Any]:
    import open_clip

    if pretrained == RANDOM_WEIGHTS:
        import torch

        torch.manual_seed(0)
    network = open_clip.create_model(
        architecture,
        pretrained=None if pretrained == RANDOM_WEIGHTS else pretrained,
        device=device,
        precision="fp16" if device.startswith("cuda") else "fp32",
    )
    return network.eval(), open_clip.get_tokenizer(architecture)


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """The hub's client answers from its cache alone."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _demand_safetensors(model: str) -> None:
    """Weights in a folder may come from anywhere: only of a format that can hold nothing but numbers."""
    if not model.startswith(LOCAL):
        return
    folder = Path(model[len(LOCAL) :]).expanduser()
    if folder.is_dir() and not any(folder.glob("*.safetensors")) and any(folder.glob("*.[bp][it]*")):
        raise ModelError(
            f"{model} holds no .safetensors file, only pickled weights, which could run programs",
            "If you trust them, convert them: safetensors.torch.save_file(torch.load(FILE, weights_only=True), …)",
        )


def _split(model: str) -> tuple[str, str | None]:
    """``NAME/PRETRAINED`` → both; a folder or a repository has one name."""
    if model.startswith(LOCAL):
        return f"{LOCAL}{Path(model[len(LOCAL) :]).expanduser()}", None
    if model.startswith(HUB):
        return model, None
    architecture, _, pretrained = model.partition("/")
    return architecture, pretrained


def _cannot_load(model: str, error: Exception) -> ModelError:
    reason = first_line(error)[:300]
    if model.startswith(LOCAL):
        return ModelError(
            f"{model} cannot be loaded: {reason}",
            "The folder must hold open_clip_config.json and open_clip_model.safetensors",
        )
    return ModelError(
        f"the weights of {model} are neither on this machine nor can they be downloaded",
        "Connect to the internet once, or give a folder that holds them: --model local-dir:PATH "
        "(to try VClipper without weights: --model demo)",
    )


def _reaches_hub() -> bool:
    """Whether the hub's name can be resolved: its client would retry for a minute where it cannot."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True
    host = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co")).hostname
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True


def weights_fingerprint(model: str) -> str:
    """Names a local model by its files' contents; published models need none."""
    if not model.startswith(LOCAL):
        return ""
    folder = Path(model[len(LOCAL) :]).expanduser()
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(folder.glob("open_clip*")) if folder.is_dir() else []:
        digest.update(f"{file.name} {fingerprint(file)}\n".encode())
    return digest.hexdigest()


def _height_width(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
