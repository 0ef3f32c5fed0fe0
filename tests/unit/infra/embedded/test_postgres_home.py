import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded import postgres_home


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("strict_umask")
def test_copied_binaries_can_be_run_by_everybody_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_home, "_SHARED_HOME", tmp_path / "shared")
    installed = tmp_path / "site-packages" / postgres_home._PACKAGE
    program = installed / postgres_home._INSTALL / "bin" / "postgres"
    library = installed.with_name(f"{postgres_home._PACKAGE}.libs") / "libpq.so"
    for path in (program, library):
        path.parent.mkdir(parents=True)
        path.touch()
    program.chmod(0o700)
    copied = postgres_home._copied_package(installed)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "shared").rglob("*")}
    assert {modes.pop("libpq.so"), modes.pop("postgres")} == {0o644, 0o755}
    assert set(modes.values()) == {0o755}
    assert (copied / postgres_home._INSTALL / "bin" / "postgres").exists()
