from collections.abc import Iterator

import pytest

from infra.embedded.data_lock import is_alive
from tests.support.assay_up import AssayUp


# Of this folder, not of the session: what runs on takes time from the tests of other folders.
@pytest.fixture(scope="package")
def assay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssayUp]:
    """The whole of Assay, started as a user starts it, on a folder of its own."""
    data_dir = tmp_path_factory.mktemp("assay")
    # The platforms of these tests are on this machine.
    near = {"ASSAY_WEBHOOK_PRIVATE_ADDRESSES": "true", "ASSAY_FETCH_PRIVATE_ADDRESSES": "true"}
    with AssayUp(data_dir, ASSAY_LEASE_SECONDS="10", ASSAY_DISPATCH_TIMEOUT_SECONDS="10", **near) as running:
        yield running
        pids = running.pids()
    # Ended as by Ctrl-C, at the price of no other start.
    assert {pid for pid in pids if is_alive(pid)} == set()
