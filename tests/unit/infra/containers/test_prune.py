"""What is taken out of an image's packages, and what stays."""

import shutil
from ctypes import CDLL
from importlib.util import find_spec
from pathlib import Path

from infra.containers.prune import prune


def test_what_nothing_reads_goes_and_all_else_stays(tmp_path: Path) -> None:
    unread = (
        "torch/include/ATen/ATen.h",
        "torch/bin/test_jit",
        "torch/test/cpp",
        "c2pa/libs/libc2pa_c.rlib",
        "openvino/libs/libopenvino_intel_gpu_plugin.so",
        "scipy/stats/tests/test_stats.py",
        "pyarrow/libarrow_flight.so.2600",
        "pygments/lexers/haskell.py",
        "flower/static/js/jquery-3.6.4.min.map",
        "filelock-4.2.11.dist-info/sboms/filelock.cdx.json",
        "pygments/lexers/_php_builtins.py",
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
    )
    kept = (
        "torch/bin/torch_shm_manager",  # torch looks for it when it is imported
        "torch/testing/__init__.py",
        "numpy/_core/tests/_natype.py",  # numpy.testing imports it
        "openvino/libs/libopenvino_intel_cpu_plugin.so",
        "pyarrow/libparquet.so.2600",
        "botocore/data/s3/2006-03-01/service-2.json.gz",
        "botocore/data/endpoints.json",
        "pygments/lexers/python.py",
        "pygments/lexers/_mapping.py",
    )
    for name in (*unread, *kept):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    assert prune(tmp_path) == 10 * len(unread)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(kept)


def test_a_library_without_symbols_is_smaller_and_still_loads(tmp_path: Path) -> None:
    spec = find_spec("sqlalchemy.util._collections_cy")
    assert spec is not None
    source = Path(str(spec.origin))
    library = tmp_path / "sqlalchemy" / "util" / source.name
    library.parent.mkdir(parents=True)
    shutil.copy2(source, library)
    saved = prune(tmp_path)
    assert library.stat().st_size == source.stat().st_size - saved
    assert saved > source.stat().st_size / 2
    assert CDLL(str(library)).PyInit__collections_cy
