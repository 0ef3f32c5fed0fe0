from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from worker.bundles.copies import artifact_prefix, download_bundle, files_of
from worker.errors import AssayError
from worker.objects.clients import client_arguments
from worker.objects.object_store import ObjectStore
from worker.objects.transfer import Transfer
from worker.objects.trouble import ObjectStoreDownError
from worker.settings import Settings

# Nobody listens there; tried once.
_NOWHERE = {"endpoint_url": "http://user:hush@127.0.0.1:9", "config": Config(retries={"total_max_attempts": 1})}


def test_a_description_names_its_files_and_comes_last_itself() -> None:
    files = files_of({"detectors": {"clip": {}, "convnext": {}}})
    assert files == ["clip.safetensors", "convnext.safetensors", "card.json", "bundle.json"]


@pytest.mark.parametrize(
    "detectors", [{"../clip": {}}, {"a/b": {}}, {"": {}}, {"CLIP": {}}, {"clip\n": {}}, ["clip"], None]
)
def test_a_description_never_names_a_file_elsewhere(detectors: object) -> None:
    with pytest.raises(AssayError, match=r"describes no bundle: export it again"):
        files_of({"detectors": detectors})


def test_every_version_has_a_prefix_of_its_own() -> None:
    assert artifact_prefix("wild-0123456789ab") == "bundles/wild-0123456789ab/"


def test_what_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    keys = {"s3_access_key_id": "key", "s3_secret_access_key": "secret"}
    client = boto3.client("s3", **client_arguments(Settings.model_validate(keys), None) | _NOWHERE)
    with pytest.raises(ObjectStoreDownError) as down:
        download_bundle(Transfer(client), "models", "wild", tmp_path)
    assert "http://127.0.0.1:9/" in down.value.detail
    assert "hush" not in down.value.detail
    with pytest.raises(ObjectStoreDownError) as down:
        ObjectStore(client).read("models", "wild/bundle.json", max_bytes=1)
    assert "hush" not in down.value.detail


def test_without_keys_the_settings_that_take_them_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    session = boto3.Session()  # the default one may remember keys
    client = session.client("s3", **client_arguments(Settings(), None) | _NOWHERE)
    with pytest.raises(ObjectStoreDownError, match="ASSAY_S3_ACCESS_KEY_ID"):
        download_bundle(Transfer(client), "models", "wild", tmp_path)
