"""A dump of the running database and a copy of the bucket bring everything back, what came after the dump included."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import make_url

from infra.embedded.postgres_home import settle
from infra.embedded.stack import EmbeddedStack
from tests.support.assay_up import AssayUp
from tests.support.load import assert_one_verdict_each, put_images
from worker.database.invariants import check_invariants

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(900)]

StartAssay = Callable[..., AssayUp]


def run_program(name: str, database_url: str, data_dir: Path, *arguments: str) -> None:
    """Run one of Postgres' programs on a database."""
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    program = settle(data_dir / "postgres").binaries / name
    done = subprocess.run(
        [program, "--dbname", url, *arguments], env={"PATH": os.defpath}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_dump_and_a_copy_of_the_bucket_bring_everything_back(start_assay: StartAssay, tmp_path: Path) -> None:
    former = start_assay()
    keys = put_images(former, 20, "before")
    former.wait_ended(keys, 180)
    under_way = put_images(former, 20, "under way")
    dump = tmp_path / "assay.dump"
    run_program("pg_dump", former.addresses.database_url, former.data_dir, "--format=custom", f"--file={dump}")
    after = put_images(former, 10, "after")
    former.wait_ended([*under_way, *after], 180)
    assert former.end(signal.SIGINT) == 0

    folder = tmp_path / "restored"
    folder.mkdir()
    shutil.copytree(former.data_dir / "object_store", folder / "object_store")
    shutil.copy(former.data_dir / "credentials.json", folder)
    with EmbeddedStack(folder, parts=["postgres"]) as addresses:
        options = ("--no-owner", "--no-privileges", "--exit-on-error")
        run_program("pg_restore", addresses.database_url, folder, *options, str(dump))
    restored = start_assay(folder, ASSAY_SWEEP_INTERVAL_SECONDS="5")
    assert_one_verdict_each(restored, [*keys, *under_way, *after], 240)
    violated = {one.invariant.name: one.listed for one in check_invariants(restored.database) if one.violations}
    assert violated == {}
