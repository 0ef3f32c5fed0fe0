"""An index of torch's CPU builds on the loopback address, out of what pip finds on this machine.

The package registry has torchvision with CUDA alone. Its compiled operators are
taken out here, for they load beside no CPU build; Assay calls none of them.
"""

import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from infra.containers.engine import EngineError

# What the compiled operators would declare; torchvision describes the shape of two when it is imported.
_DECLARED = """import torch

for _name in ("nms", "qnms"):
    torch.library.define(f"torchvision::{_name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
TORCH = "torch==2.13.0+cpu"
_PLAIN, _LOCAL = "torchvision==0.29.1", f"+stand.in.{zlib.crc32(_DECLARED.encode())}"
VERSIONS = f"{TORCH} {_PLAIN}{_LOCAL}"
# Part of the build's cache key, so it is the same each time.
PORT = 18790


@contextmanager
def torch_index(folder: Path) -> Iterator[str]:
    """Serve the wheels of `VERSIONS` while the block lasts; yield the index' address.

    Raises:
        EngineError: pip finds no CPU build here.
    """
    index = folder / "index"
    for requirement in (TORCH, _PLAIN):
        _download(requirement, folder)
    for name in ("torch", "torchvision"):
        shutil.rmtree(index / name, ignore_errors=True)
        (index / name).mkdir(parents=True)
    [torch], [vision] = folder.glob("torch-*.whl"), folder.glob("torchvision-*.whl")
    (index / "torch" / torch.name).symlink_to(torch)
    without_operators(vision, _LOCAL, index / "torchvision")
    server = ThreadingHTTPServer(("127.0.0.1", PORT), partial(_Quiet, directory=str(index)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def without_operators(wheel: Path, local: str, folder: Path) -> Path:
    """Write torchvision's wheel anew into a folder, with no compiled operators and a local version; return it."""
    name, version, *tags = wheel.name.split("-")
    release, info = f"{version}{local}", f"{name}-{version}.dist-info/"
    target = folder / "-".join((name, release, *tags))
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for entry in source.infolist():
            if entry.filename.endswith(".so") or entry.filename.startswith(f"{name}.libs/"):
                continue
            data = source.read(entry)
            if entry.filename == f"{name}/_meta_registrations.py":
                data = _DECLARED.encode() + data
            if entry.filename == f"{info}METADATA":
                data = data.replace(f"\nVersion: {version}\n".encode(), f"\nVersion: {release}\n".encode())
            if entry.filename != f"{info}RECORD":
                made.writestr(entry.filename.replace(info, f"{name}-{release}.dist-info/"), data)
        made.writestr(f"{name}-{release}.dist-info/RECORD", _record(made, f"{name}-{release}.dist-info/RECORD"))
    return target


def _record(wheel: zipfile.ZipFile, itself: str) -> str:
    return "".join(f"{name},,\n" for name in [*wheel.namelist(), itself])


def _download(requirement: str, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(target), requirement], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EngineError(
            f"pip finds no {requirement} here; name an index that carries CPU builds: make images TORCH_INDEX=…"
        )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""
