from pathlib import Path

import pytest

from infra.cli import doctor, doctor_processes
from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder
from worker.bundles.encoders.table import ENCODERS
from worker.decoders.pool import DecoderPool
from worker.errors import AssayError
from worker.settings import Settings


def test_in_an_image_without_torch_nothing_is_said_against_the_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    # `assay doctor` runs in the API's image, where operators are sent.
    monkeypatch.setattr(doctor, "find_spec", lambda _name: None)
    assert doctor._bundle(Settings(bundle="no-such-bundle")).startswith("not looked at here")


def test_flower_is_asked_only_where_somebody_said_where_it_is(tmp_path: Path) -> None:
    # A cluster's secret is mounted whole, its password with it, into pods from which Flower cannot be reached.
    elsewhere = Settings(data_dir=tmp_path, flower_basic_auth="assay:hunter2", flower_port=9)
    assert doctor_processes.flower(elsewhere).startswith("not asked")


def test_of_encoders_those_must_be_here_that_a_bundle_of_the_release_names(tmp_path: Path) -> None:
    named, other = ENCODERS
    whole = EncoderFolder().find(named.sha256)
    assert whole is not None
    with pytest.raises(EncoderError, match=named.name):
        doctor._encoders(Settings(encoders_dir=tmp_path))
    (tmp_path / whole.name).symlink_to(whole)
    # An image brings no more than its bundles need; the rest comes from the artifact bucket.
    assert doctor._encoders(Settings(encoders_dir=tmp_path)) == f"{named.name} in {tmp_path}"
    assert EncoderFolder(tmp_path).find(other.sha256) is None


def test_it_says_what_ties_decoder_processes_down_and_complains_where_they_reach_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = doctor._decoders(Settings())
    assert finding.startswith("held by ")
    assert "memory" in finding
    monkeypatch.setattr(DecoderPool, "holds", lambda _pool: ["memory"])
    with pytest.raises(AssayError, match="can reach the network; held by memory alone"):
        doctor._decoders(Settings())


def test_a_misspelt_setting_is_named_with_the_one_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SECRETS", "the deployment's own")
    assert doctor._settings(Settings()) == "no name of a setting is misspelt"
    monkeypatch.setenv("ASSAY_API_PROT", "9999")
    monkeypatch.setenv("ASSAY_BUNDEL", "wild")
    with pytest.raises(AssayError) as refused:
        doctor._settings(Settings())
    assert "ASSAY_API_PROT is no setting; did you mean ASSAY_API_PORT?" in refused.value.detail
    assert "ASSAY_BUNDEL is no setting; did you mean ASSAY_BUNDLE?" in refused.value.detail


def test_a_rate_that_the_api_will_refuse_is_refused_before() -> None:
    with pytest.raises(AssayError, match="200/second"):
        doctor._settings(Settings(rate_limit="lots"))
    doctor._settings(Settings(rate_limit=None, guess_rate_limit=None))
