from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.assay_up import AssayUp


@pytest.fixture
def start_assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., AssayUp]]:
    """Starts the whole of Assay, with the bundle that judges small pictures cheaply where no other is named."""
    with ExitStack() as running:

        def start(data_dir: Path | None = None, **variables: str) -> AssayUp:
            folder = data_dir or tmp_path_factory.mktemp("chaos")
            return running.enter_context(AssayUp(folder, **{"ASSAY_BUNDLE": "cifake", **variables}))

        yield start


# Of this folder, not of the session: what runs on takes time from the tests of other folders.
@pytest.fixture(scope="package")
def assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssayUp]:
    """The whole of Assay for the tests that strike parts of it and leave it well."""
    # An object store that is killed may forget events of its last seconds; then the sweep finds the images.
    variables = {"ASSAY_BUNDLE": "cifake", "ASSAY_SWEEP_INTERVAL_SECONDS": "5"}
    with AssayUp(tmp_path_factory.mktemp("chaos"), **variables) as running:
        yield running
