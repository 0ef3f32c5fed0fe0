"""The guide's own commands, run as they stand in docs/operations.md, in its order, against a running Assay."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from infra.demo_images import photographs
from infra.embedded.postgres_home import settle
from tests.support.assay_up import wait_until
from tests.support.compose_processes import ComposeProcesses
from worker.database.session import connect
from worker.database.tables import Rescan, Scan, ScanState, Verdict

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(600)]

_BLOCK = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MUST_BE_RUN = (
    *("assay setup", "pg_dump", "pg_restore", "assay migrate", "assay sweep", "assay keys rotate", "assay keys revoke"),
    *("/replay", "/v1/rescans", "psql"),
)


@pytest.fixture(scope="module")
def guide(repository: Path) -> str:
    return "\n".join(_BLOCK.findall((repository / "docs" / "operations.md").read_text()))


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProcesses]:
    with ComposeProcesses(tmp_path_factory.mktemp("guide") / "run") as running:
        yield running


def test_the_guide_s_commands_do_what_it_says(
    guide: str, compose: ComposeProcesses, repository: Path, tmp_path: Path
) -> None:
    assert [act for act in _MUST_BE_RUN if act not in guide] == []
    for number in range(2):
        compose.s3.put_object(Bucket="uploads", Key=f"{number}.jpg", Body=photographs()[number].data)
        assert compose.wait_ended(f"{number}.jpg", 180).state == "completed"
    dead = kill_a_scan(compose)

    script = tmp_path / "guide.sh"
    script.write_text(f"set -euo pipefail\n{guide}")
    done = subprocess.run(
        ["/bin/bash", script],
        env=environment(compose, tmp_path),
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    # Restored: another database with every verdict of the dump.
    url = compose.database.engine.url.set(database="assay_restored").render_as_string(hide_password=False)
    restored = connect(url)
    with restored.transaction() as session:
        assert len(session.scalars(select(Verdict)).all()) == 2
    restored.engine.dispose()
    # Replayed: it is no longer dead, and ends again (its verdict was there already, so it changes nothing).
    wait_until(lambda: state_of(compose, dead) == ScanState.COMPLETED, 120, "the replayed scan")
    # Asked for: a rescan, under the operator's own words.
    with compose.database.transaction() as session:
        reasons = list(session.scalars(select(Rescan.reason).order_by(Rescan.id)))
        judged = {verdict.bundle_version for verdict in session.scalars(select(Verdict))}
    assert reasons == ["the guide", f"{judged.pop()} was bad"]
    assert judged == set()

    # What a bad bundle said is said anew, under a policy that differs from the former in its number alone.
    def said_anew() -> bool:
        with compose.database.transaction() as session:
            found = session.execute(select(Verdict.image_pk, Verdict.policy_version))
            return sorted(map(tuple, found)) == [(1, 1), (1, 2), (2, 1), (2, 2)]

    wait_until(said_anew, 120, "the verdicts under the policy set anew")


def environment(compose: ComposeProcesses, folder: Path) -> dict[str, str]:
    """What the guide says its reader has: a service's settings, the API's address, a folder, Postgres' programs."""
    variables = compose.environment(compose.services["setup"])
    settled = settle(folder / "postgres")  # where the binaries are for this user
    programs = f"{Path(sys.executable).parent}:{settled.binaries}:{variables['PATH']}"
    return {**variables, "PATH": programs, "API": compose.url("api"), "BACKUP": str(folder)}


def kill_a_scan(compose: ComposeProcesses) -> int:
    with compose.database.transaction() as session:
        scan = session.scalars(select(Scan).order_by(Scan.id)).first()
        assert scan is not None
        scan.state, scan.reason, scan.due_at = ScanState.DEAD, "attempts_exhausted", None
        return scan.id


def state_of(compose: ComposeProcesses, scan_id: int) -> str:
    with compose.database.transaction() as session:
        return session.get_one(Scan, scan_id).state
