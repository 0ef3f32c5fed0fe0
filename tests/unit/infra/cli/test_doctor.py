from pathlib import Path

import pytest

from infra.cli import doctor, doctor_processes
from worker.settings import Settings


def test_in_an_image_without_torch_nothing_is_said_against_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    # `assay doctor` runs in the API's image, where operators are sent.
    monkeypatch.setattr(doctor, "find_spec", lambda _name: None)
    assert doctor._bundle(Settings(bundle="no-such-bundle")).startswith("not looked at here")


def test_flower_is_asked_only_where_somebody_said_where_it_is(tmp_path: Path) -> None:
    # A cluster's secret is mounted whole, its password with it, into pods from which Flower cannot be reached.
    elsewhere = Settings(data_dir=tmp_path, flower_basic_auth="assay:hunter2", flower_port=9)
    assert doctor_processes.flower(elsewhere).startswith("not asked")
