from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from infra.testing import AssayUp


@pytest.fixture
def start_assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., AssayUp]]:
    """Starts the whole of Assay with short leases, so that what was lost comes back soon."""
    with ExitStack() as running:

        def start(**variables: str) -> AssayUp:
            data_dir = tmp_path_factory.mktemp("chaos")
            short = {"ASSAY_LEASE_SECONDS": "8", "ASSAY_DISPATCH_TIMEOUT_SECONDS": "8"}
            return running.enter_context(AssayUp(data_dir, **{**short, **variables}))

        yield start
