"""Takes out of an image's packages what no process of Assay reads: `python prune.py SITE_PACKAGES`.

It runs while the worker's image is built and imports nothing of Assay.
"""

import shutil
import subprocess
import sys
from pathlib import Path

UNREAD = (
    # What compiles against packages, and their own tests.
    *("torch/include", "openvino/include", "pyarrow/include", "torch/test", "torch/bin/protoc*", "torch/bin/test_*"),
    *("**/*.h", "**/*.hpp", "**/*.cuh", "**/*.a", "**/*.rlib", "**/*.pxd", "**/*.pyx", "**/*.pyi"),
    *("scipy/**/tests", "sklearn/**/tests", "sympy/**/tests", "networkx/**/tests", "matplotlib/**/tests"),
    *("pyarrow/tests", "tornado/test", "sqlalchemy/testing", "boto3/examples"),
    "boto3/data/*",  # of its resources; clients are botocore's
    # Tracebacks on a terminal are coloured as Python, and nothing else is.
    *("pygments/lexers/_*_builtins.py", "pygments/lexers/[a-oq-r]*.py"),
    # Engines run on OpenVINO's CPU plugin alone.
    *("openvino/libs/libopenvino_intel_gpu_plugin.so*", "openvino/libs/libopenvino_intel_npu_plugin.so*"),
    "openvino/libs/cache.json",  # kernels of the GPU plugin
    # Parquet is read and written in folders; nothing is served, planned or fetched with Arrow.
    *("pyarrow/libarrow_flight.so*", "pyarrow/libarrow_python_flight.so*", "pyarrow/_flight*.so"),
    *("pyarrow/libarrow_substrait.so*", "pyarrow/_substrait*.so", "pyarrow/libarrow_s3.so*", "pyarrow/_s3fs*.so"),
    "tensorboard_data_server/bin",  # runs are recorded in the image, and looked at elsewhere
    *("flower/static/**/*.map", "*.dist-info/sboms"),
)
# Compiled with what a debugger reads, which is nine tenths of them.
_WITH_SYMBOLS = ("sqlalchemy/**/*.so", "wrapt/*.so", "wcwidth/*.so")


# Of the services that botocore describes, those that Assay calls, and those by which it signs in.
_SERVICES = frozenset({"s3", "sqs", "sts", "sso", "sso-oidc", "signin"})


def prune(site: Path) -> int:
    """Remove the files, and debuggers' symbols; return how many bytes that saves."""
    unasked = [path for path in site.glob("botocore/data/*") if path.is_dir() and path.name not in _SERVICES]
    saved = sum(map(_remove, unasked))
    for pattern in UNREAD:
        saved += sum(map(_remove, sorted(site.glob(pattern))))
    return saved + sum(_strip(file) for pattern in _WITH_SYMBOLS for file in sorted(site.glob(pattern)))


def _strip(library: Path) -> int:
    """Take debuggers' symbols out of a library; return how many bytes that saves."""
    size = library.stat().st_size
    subprocess.run(["/usr/bin/strip", "--strip-debug", str(library)], check=True)
    return size - library.stat().st_size


def _remove(path: Path) -> int:
    """Remove a file or folder; return its size in bytes."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.lstat().st_size for file in files)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return size


if __name__ == "__main__":
    print(f"pruned {prune(Path(sys.argv[1])) // 1_000_000} MB")  # noqa: T201
