from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.testing import AssayUp


@pytest.fixture(scope="session")
def assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssayUp]:
    """The whole of Assay, started as a user starts it, on a folder of its own."""
    data_dir: Path = tmp_path_factory.mktemp("assay")
    # Postgres runs as another user where the tests run as root; it must be able to pass through.
    for folder in (data_dir, *data_dir.parents):
        if folder.stat().st_uid == data_dir.stat().st_uid and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    with AssayUp(data_dir, ASSAY_LEASE_SECONDS="10", ASSAY_DISPATCH_TIMEOUT_SECONDS="10") as running:
        yield running
