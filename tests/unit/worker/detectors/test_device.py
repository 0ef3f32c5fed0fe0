"""What a device tells of its memory."""

import pytest
import torch
from prometheus_client import REGISTRY

from worker.detectors import device
from worker.detectors.device import DeviceError, memory, pick_device, set_threads
from worker.processes.worker import show_memory


def test_a_cpu_has_no_memory_of_its_own_to_tell_of() -> None:
    assert memory("cpu") == {}


@pytest.mark.parametrize("name", ["banana", "", "cpu:1", "meta", "cuda:", "cuda:-1", "cuda:x", "CUDA", "cuda:9999"])
def test_what_is_no_device_is_refused_with_what_to_set(name: str) -> None:
    with pytest.raises(DeviceError, match="is no device: set ASSAY_DEVICE or --device to `auto`, `cpu`"):
        pick_device(name)


@pytest.mark.parametrize(("name", "devices", "given"), [("auto", 0, "cpu"), ("auto", 1, "cuda"), ("cpu", 0, "cpu")])
def test_a_device_is_picked_by_what_there_is(
    monkeypatch: pytest.MonkeyPatch, name: str, devices: int, given: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    assert pick_device(name) == given


@pytest.mark.parametrize(("name", "devices"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2)])
def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    with pytest.raises(DeviceError, match=f"to be {name}, but torch finds"):
        pick_device(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert pick_device(name) == name


@pytest.mark.parametrize(("asked", "cores", "given"), [(0, 2, 2), (0, 64, 6), (3, 2, 3)])
def test_torch_takes_no_more_threads_by_itself_than_the_container_has_cores(
    monkeypatch: pytest.MonkeyPatch, asked: int, cores: int, given: int
) -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(6)  # as torch would begin on a machine with so many
    monkeypatch.setattr(device, "cores", lambda: cores)
    set_threads(asked)
    found = torch.get_num_threads()
    torch.set_num_threads(usual)
    assert found == given


@pytest.mark.gpu
def test_a_gpu_tells_at_each_scrape_what_it_holds_then() -> None:
    show_memory("cuda")

    def bytes_of(kind: str) -> float:
        value = REGISTRY.get_sample_value("assay_device_memory_bytes", {"kind": kind})
        assert value is not None
        return value

    before = bytes_of("allocated")
    held = torch.zeros(1024, 1024, device="cuda")
    assert bytes_of("allocated") == before + held.nbytes
    assert bytes_of("allocated") <= bytes_of("reserved") < bytes_of("total")
