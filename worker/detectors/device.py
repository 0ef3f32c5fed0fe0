"""The device that detectors run on: which one, how many threads, and when it is out of memory."""

import re

import torch

from worker.cores import cores
from worker.errors import AssayError

_DEVICE = re.compile(r"cpu|cuda(:(?P<number>[0-9]{1,3}))?")
_CPU_OUT_OF_MEMORY = "can't allocate memory"


class DeviceError(AssayError, ValueError):
    """There is no such device here; set ASSAY_DEVICE or `--device` to `auto`, `cpu`, `cuda` or `cuda:N`."""


def pick_device(name: str) -> str:
    """Return a torch device name; ``auto`` is the first CUDA device where there is one, else ``cpu``.

    Raises:
        DeviceError: the device was asked for by name and is not there, or the name is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    match = _DEVICE.fullmatch(name)
    if not match:
        raise DeviceError(f"{name!r} is no device: set ASSAY_DEVICE or --device to `auto`, `cpu`, `cuda` or `cuda:N`")
    if name != "cpu" and int(match["number"] or 0) >= (count := torch.cuda.device_count()):
        what = f"finds {count} CUDA devices here, counted from 0" if count else "finds no CUDA device here"
        raise DeviceError(f"the device is to be {name}, but torch {what}: set ASSAY_DEVICE or --device to `auto`")
    return name


def set_threads(count: int) -> None:
    """Bound torch's CPU threads; 0 leaves torch's default, but never more than the cores this process may use.

    Torch counts the machine's: in a container with two of 64, threads would mostly wait for each other.
    """
    if count or cores() < torch.get_num_threads():
        torch.set_num_threads(count or cores())


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a batch failed because it was too big for the device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and _CPU_OUT_OF_MEMORY in str(error)


def memory(device: str) -> dict[str, int]:
    """Return the device's memory in bytes: `allocated` to tensors, `reserved` by torch, `total`; empty for a CPU."""
    if not device.startswith("cuda"):
        return {}
    return {
        "allocated": torch.cuda.memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
        "total": torch.cuda.get_device_properties(device).total_memory,
    }
