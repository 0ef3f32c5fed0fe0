from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.assay_up import AssayUp


@pytest.fixture
def start_assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., AssayUp]]:
    """Starts the whole of Assay with short leases, so that what was lost comes back soon."""
    with ExitStack() as running:

        def start(data_dir: Path | None = None, **variables: str) -> AssayUp:
            short = {"ASSAY_LEASE_SECONDS": "8", "ASSAY_DISPATCH_TIMEOUT_SECONDS": "8"}
            folder = data_dir or tmp_path_factory.mktemp("chaos")
            return running.enter_context(AssayUp(folder, **{**short, **variables}))

        yield start
