"""A tiny data set, noise against stripes, and tiny recipes for it."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr
from sqlalchemy import make_url

from tests.conftest import Buckets, Databases
from tests.integration.training.retraining_world import World, make_base, make_world
from tests.integration.training.worker_bench import Bench
from tests.support.outages import DatabaseOutage, StoreOutage
from worker.database.session import Database
from worker.objects.transfer import transfer
from worker.settings import Settings

_BUNDLE = """
name = "tiny"
seed = 5
augmentation = "light"
held_out_share = 0.4
checkpoint_seconds = 0.0
[detectors.clip]
views = { size = 16, wholes = 1, crops = 0 }
[detectors.clip.architecture]
taps = [0]
stem = [8]
residual = 4.0
[detectors.clip.architecture.tower]
image_size = 16
patch_size = 4
width = 16
layers = 2
heads = 2
mlp_ratio = 2.0
output_dim = 16
patch_dropout = 0.25
[detectors.clip.fit]
batch_size = 16
learning_rate = 3e-3
weight_decay = 0.01
epochs = 8
precision = "fp32"
[detectors.convnext]
views = { size = 16, wholes = 1, crops = 0 }
[detectors.convnext.architecture]
stem = [8]
[detectors.convnext.architecture.network]
patch_size = 1
depths = [1, 1, 0, 0]
dims = [8, 8, 8, 8]
kernel_sizes = 3
norm_layer = "batchnorm2d"
conv_mlp = true
[detectors.convnext.fit]
batch_size = 16
learning_rate = 3e-3
weight_decay = 0.01
epochs = 8
precision = "fp32"
[card]
title = "tiny"
"""
_CLASSIFIERS = """
name = "tiny-classifiers"
kind = "classifier"
seed = 6
augmentation = "flips"
validation_share = 0.2
test_share = 0.2
claim = "none"
[detectors.cnn]
views = { size = 32, wholes = 1, crops = 0 }
architecture = { widths = [8, 16], hidden = [8], batch_norm = true, dropout = 0.1, denoise = false }
fit = { batch_size = 16, learning_rate = 5e-3, weight_decay = 0.01, epochs = 30, patience = 2, precision = "fp32" }
[detectors.resnet]
views = { size = 32, wholes = 1, crops = 0 }
architecture = { model = "test_resnet.r160_in1k", freeze = ["conv1"] }
fit = { batch_size = 16, learning_rate = 3e-3, weight_decay = 0.01, epochs = 4, precision = "bf16" }
"""


def striped(seed: int, kind: str) -> bytes:
    """Draw noise, with stripes across where the seed is odd."""
    pixels = np.random.default_rng(seed).integers(0, 120, (16, 16, 3))
    if seed % 2:
        pixels[:, ::2] += 110
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """Return a planter of an image folder as on Kaggle; `leaky` makes the fakes PNG and the photographs JPEG.

    With `sources`, there are so many such folders, each with both classes.
    """

    def make(count: int = 160, *, leaky: bool = False, sources: int = 1) -> Path:
        root = tmp_path / "stripes"
        for seed in range(count):
            kind = "PNG" if seed % 2 or not leaky else "JPEG"
            source = root / f"source-{seed // 2 % sources}" if sources > 1 else root
            folder = source / "train" / ("FAKE" if seed % 2 else "REAL")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{seed}.{kind.lower()}").write_bytes(striped(seed, kind))
        return root

    return make


@pytest.fixture
def bundle_recipe(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.toml"
    file.write_text(_BUNDLE)
    return file


@pytest.fixture
def classifier_recipe(tmp_path: Path) -> Path:
    file = tmp_path / "tiny-classifiers.toml"
    file.write_text(_CLASSIFIERS)
    return file


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe's data, and below `bundle` the champion that was trained on it."""
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def world(  # noqa: PLR0917 (fixtures)
    base: Path, database: Database, database_url: str, object_store: Buckets, stack_settings: Settings, tmp_path: Path
) -> World:
    """A champion that serves, and what training runs need."""
    own = {"database_url": SecretStr(database_url), "data_dir": tmp_path / "data"}
    return make_world(base, database, object_store, stack_settings.model_copy(update=own))


@pytest.fixture
def store_outage() -> Iterator[StoreOutage]:
    with StoreOutage().installed() as outage:
        yield outage


@pytest.fixture
def bench(
    database: Database, object_store: Buckets, stack_settings: Settings, store_outage: StoreOutage, tmp_path: Path
) -> Bench:
    assert store_outage.of is None
    return Bench(database, object_store, transfer(stack_settings), tmp_path)


@pytest.fixture
def database_outage(databases: Databases, database_url: str) -> Iterator[DatabaseOutage]:
    outage = DatabaseOutage(databases.admin, str(make_url(database_url).database))
    yield outage
    outage.end()


@pytest.fixture
def at_work(bench: Bench) -> Iterator[Callable[[], threading.Thread]]:
    """Let the worker hear the bell in a thread; it is stopped at the end."""
    threads: list[threading.Thread] = []

    def start() -> threading.Thread:
        threads.append(threading.Thread(target=bench.worker))
        threads[-1].start()
        return threads[-1]

    yield start
    bench.worker.stop()
    for thread in threads:
        thread.join()
