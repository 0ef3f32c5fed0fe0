from collections.abc import Iterator

import pytest

from tests.support.assay_up import AssayUp


# Of this folder, not of the session: what runs on takes time from the tests of other folders.
@pytest.fixture(scope="package")
def assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssayUp]:
    """The whole of Assay, started as a user starts it, on a folder of its own."""
    data_dir = tmp_path_factory.mktemp("assay")
    with AssayUp(data_dir, ASSAY_LEASE_SECONDS="10", ASSAY_DISPATCH_TIMEOUT_SECONDS="10") as running:
        yield running
