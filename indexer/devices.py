"""What ``--device`` names: one device, several GPUs, or all of them."""

from __future__ import annotations

import re

from indexer.errors import InputError, ModelError

ALL = "all"
_GPU = re.compile(r"cuda(:\d+)?")
_ONE = re.compile(r"auto|cpu|all|mps|(cuda|xpu)(:\d+)?")
"""``mps`` are Apple's GPUs, ``xpu`` Intel's: nothing here was tried on them, but torch may compute there."""
_CHOICES = "Give auto, cpu, cuda, cuda:N, several GPUs (cuda:0,cuda:1), all, or mps"


def named_devices(text: str) -> tuple[str, ...]:
    """``cuda:0,cuda:1`` → its parts; one name (``auto`` and ``all`` too) → itself.

    Raises:
        InputError: an empty place, a name that is no device's, a GPU named twice, or something in a list that is
            no GPU. Whether a device is there is for torch to say (:func:`indexer.encoder.pick_device`).
    """
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise InputError(f"--device {text!r} has an empty place" if text else "--device is empty", _CHOICES)
    if len(names) == 1:
        if not _ONE.fullmatch(names[0]):
            raise InputError(f"--device {text} is no device", _CHOICES)
        return names
    numbered = tuple("cuda:0" if name == "cuda" else re.sub(r"^cuda:0+(?=\d)", "cuda:", name) for name in names)
    for place, name in enumerate(numbered):
        if not _GPU.fullmatch(name):
            raise InputError(f"--device {text}: {name!r} is no GPU, and only GPUs work side by side", _CHOICES)
        if name in numbered[:place]:
            raise InputError(f"--device {text} names {name} twice", "Name each GPU once")
    return numbered


def found_devices(text: str) -> tuple[str, ...]:
    """As :func:`named_devices`, ``all`` being every GPU that torch finds.

    Raises:
        InputError: as :func:`named_devices`.
        ModelError: ``all``, and there is no GPU.
    """
    if text != ALL:
        return named_devices(text)
    count = gpu_count()
    if not count:
        raise ModelError("--device all means every GPU, and torch finds none", "Use --device auto or cpu")
    return tuple(f"cuda:{number}" for number in range(count))


def gpu_count() -> int:
    """How many GPUs torch finds."""
    import torch

    return int(torch.cuda.device_count())


def device_of_a_worker(text: str) -> str:
    """What ``--device`` means to one worker of a cluster, which Ray gives one GPU or none.

    Raises:
        InputError: GPUs named by number, which on a cluster are Ray's to deal out.
    """
    names = named_devices(text)
    if len(names) > 1 or ":" in text:
        raise InputError(
            f"--device {text} names GPUs by number, but with --ray each worker gets one from Ray",
            "Give auto, all (every GPU of every node) or cpu",
        )
    return "cuda" if text == ALL else text
