"""The index of torch's CPU builds: torchvision without its compiled operators, served where pip looks."""

import zipfile
from pathlib import Path

import httpx
import pytest

from infra.containers import torch_index as module
from infra.containers.torch_index import torch_index, without_operators

NAME = "torchvision-0.29.1-cp311-cp311-manylinux_2_28_x86_64.whl"


def make_wheel(folder: Path) -> Path:
    with zipfile.ZipFile(folder / NAME, "w") as wheel:
        wheel.writestr("torchvision/_meta_registrations.py", "shapes = 1\n")
        wheel.writestr("torchvision/_C_stable.so", "compiled")
        wheel.writestr("torchvision.libs/libpng.so.1", "compiled")
        wheel.writestr("torchvision-0.29.1.dist-info/METADATA", "Name: torchvision\nVersion: 0.29.1\nLicense: BSD\n")
        wheel.writestr("torchvision-0.29.1.dist-info/RECORD", "torchvision/_C_stable.so,sha256=0,8\n")
    return folder / NAME


def test_torchvision_loses_its_operators_and_says_so_in_its_version(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    made = without_operators(make_wheel(tmp_path), "+stand.in", tmp_path / "made")
    assert made.name == NAME.replace("0.29.1", "0.29.1+stand.in")
    with zipfile.ZipFile(made) as wheel:
        info = "torchvision-0.29.1+stand.in.dist-info"
        assert set(wheel.namelist()) == {"torchvision/_meta_registrations.py", f"{info}/METADATA", f"{info}/RECORD"}
        assert b"Version: 0.29.1+stand.in\n" in wheel.read(f"{info}/METADATA")
        text = wheel.read("torchvision/_meta_registrations.py").decode()
        assert text.startswith("import torch\n")
        assert text.endswith("shapes = 1\n")
        assert wheel.read(f"{info}/RECORD").decode().count("\n") == 3


def test_pip_finds_both_wheels_in_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(requirement: str, folder: Path) -> None:
        if requirement.startswith("torch=="):
            (folder / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").write_bytes(b"torch")
        else:
            make_wheel(folder)

    monkeypatch.setattr(module, "_download", download)
    monkeypatch.setattr(module, "PORT", 0)
    with torch_index(tmp_path) as address:
        listed = [httpx.get(f"{address}{name}/", trust_env=False).text for name in ("torch", "torchvision")]
    assert "torch-2.13.0%2Bcpu-cp311" in listed[0]
    assert "torchvision-0.29.1%2Bstand.in." in listed[1]
