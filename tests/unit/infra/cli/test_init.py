"""`assay init` writes every secret that compose hands out, random and behind a closed folder."""

import stat
from pathlib import Path

from infra.cli.init import write_secrets


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    write_secrets(tmp_path / "one")
    write_secrets(tmp_path / "two")
    one, two = read(tmp_path / "one"), read(tmp_path / "two")
    assert one.keys() == two.keys()
    assert set(one.values()) & set(two.values()) == set()
    assert min(map(len, one.values())) >= 20


def test_nobody_but_the_owner_enters_the_folder(tmp_path: Path) -> None:
    write_secrets(tmp_path / "secrets")
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    # Each container's own user reads the single file that it is given.
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o444}


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    made = write_secrets(tmp_path)
    before = read(tmp_path)
    assert set(made) == before.keys()
    assert write_secrets(tmp_path) == []
    assert read(tmp_path) == before


def test_a_password_that_is_removed_is_made_anew_together_with_the_addresses_that_hold_it(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    before = read(tmp_path)
    (tmp_path / "valkey_password").unlink()
    assert sorted(write_secrets(tmp_path)) == ["assay_redis_url", "valkey.conf", "valkey_password"]
    after = read(tmp_path)
    assert after["valkey_password"] in after["assay_redis_url"]
    assert after["valkey_password"] in after["valkey.conf"]
    assert after["assay_database_url"] == before["assay_database_url"]
