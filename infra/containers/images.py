"""`make images` and `make images-offline`: builds every image and says how large each is.

Offline, bases and third parties' services are made here first, and are called stand-ins.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infra.containers.engine import Engine, find_engine
from infra.containers.registries import write_secrets
from infra.containers.stand_ins import make_bases, make_services
from infra.containers.torch_index import VERSIONS, torch_index
from worker.errors import AssayError

REPOSITORY = Path(__file__).parents[2]
DOCKER = REPOSITORY / "infra" / "docker"
_MEGABYTE = 1_000_000
_CACHE = Path("/var/cache/assay")


@dataclass(frozen=True)
class OurImage:
    """An image of Assay's own.

    Attributes:
        name: without its tag.
        dockerfile: in infra/docker.
        target: its stage; empty for the last.
        limit_mb: what it may take; None where nothing is promised.
    """

    name: str
    dockerfile: str
    target: str = ""
    limit_mb: int | None = None


API = OurImage("assay-api", "api.Dockerfile", limit_mb=250)
WORKER = OurImage("assay-worker", "worker.Dockerfile", "cpu", limit_mb=1600)
WORKER_CUDA = OurImage("assay-worker-cuda", "worker.Dockerfile", "cuda")


def python_release() -> str:
    """Return the release of Python that the images stand on."""
    [release, *_] = re.findall(r"^FROM python:([0-9.]+)", (DOCKER / "api.Dockerfile").read_text(), re.MULTILINE)
    return str(release)


def describe(image: OurImage, tag: str, size: int, stands_in: str) -> str:
    """Return a line on an image: its size, its limit, and what of it stands in."""
    limit = f" (limit {image.limit_mb} MB)" if image.limit_mb else ""
    below = f"; stand-in below it: {stands_in}" if stands_in else ""
    return f"{tag}: {size // _MEGABYTE} MB{limit}{below}"


def is_too_large(image: OurImage, size: int) -> bool:
    """Tell whether an image takes more than it may."""
    return image.limit_mb is not None and size > image.limit_mb * _MEGABYTE


def build_all(engine: Engine, options: argparse.Namespace, report: Callable[[str], None]) -> list[str]:
    """Build the images that were asked for; return the tags of those that are too large."""
    with tempfile.TemporaryDirectory(prefix="assay-build-") as folder, ExitStack() as running:
        secrets = write_secrets(Path(folder))
        arguments = {"TORCH_INDEX": options.torch_index} if options.torch_index else {}
        if options.offline:
            make_bases(engine, python_release(), report)
            make_services(engine, secrets, report)
            if not arguments:
                _CACHE.mkdir(parents=True, exist_ok=True)
                arguments = {"TORCH_INDEX": running.enter_context(torch_index(_CACHE)), "TORCH_VERSIONS": VERSIONS}
                report(f"torch is a stand-in: {VERSIONS}, without torchvision's compiled operators")
        too_large = []
        for image in (API, WORKER, *([WORKER_CUDA] if options.cuda else [])):
            tag = f"{image.name}:{options.release}"
            used = arguments if image is WORKER else {}
            dockerfile = DOCKER / image.dockerfile
            engine.build(dockerfile, REPOSITORY, tag, target=image.target, arguments=used, secrets=secrets)
            size = int(engine.inspect(tag)[0]["Size"])
            report(describe(image, tag, size, engine.stand_in_label(tag)))
            too_large += [tag] if is_too_large(image, size) else []
    return too_large


def main(arguments: Sequence[str] | None = None) -> int:
    """Build; return the exit code."""
    parser = argparse.ArgumentParser(description="Build Assay's images and say how large each is.")
    parser.add_argument("--offline", action="store_true", help="make stand-ins for what cannot be pulled, first")
    parser.add_argument("--cuda", action="store_true", help="build the GPU worker too (7 GB)")
    parser.add_argument("--torch-index", default="", help="index that carries torch's CPU builds")
    parser.add_argument("--release", default="local", help="tag of the images (default: %(default)s)")
    options = parser.parse_args(arguments)
    report = partial(print, file=sys.stderr, flush=True)
    try:
        too_large = build_all(find_engine(), options, report)
    except AssayError as error:
        report(f"assay: {error}")
        return 1
    for tag in too_large:
        report(f"{tag} is larger than its limit")
    return 1 if too_large else 0


if __name__ == "__main__":
    sys.exit(main())
