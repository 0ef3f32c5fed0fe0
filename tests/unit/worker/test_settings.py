"""Every setting is documented, and nothing that is set by accident goes unnoticed."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.reference_docs import settings_table
from worker.settings import Settings


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_row_names_its_variable_and_its_default() -> None:
    rows = settings_table().splitlines()[2:]
    assert len(rows) == len(Settings.model_fields)
    assert '| `ASSAY_UPLOAD_BUCKETS` | `["uploads"]` |' in "\n".join(rows)
    assert all(row.count("|") == 4 for row in rows)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_UPLOAD_BUCKETS", '["a", "b"]')
    monkeypatch.setenv("ASSAY_MAX_BATCH", "3")
    settings = Settings()
    assert (settings.upload_buckets, settings.max_batch) == (("a", "b"), 3)


def test_settings_are_frozen_and_keep_their_secrets() -> None:
    settings = Settings.model_validate({"database_url": "postgresql+psycopg://assay:hush@db/assay"})
    with pytest.raises(ValidationError):
        settings.max_batch = 3  # type: ignore[misc]
    assert "hush" not in repr(settings)


@pytest.mark.parametrize(("name", "value"), [("max_batch", 0), ("lease_seconds", 0), ("log_format", "xml")])
def test_a_setting_that_cannot_be_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings.model_validate({name: value})


def test_secrets_come_from_a_folder_of_files_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "assay_database_url").write_text("postgresql+psycopg://assay:of-the-file@db/assay\n")
    (tmp_path / "assay_redis_url").write_text("redis://:of-the-file@valkey/0")
    monkeypatch.setenv("ASSAY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("ASSAY_REDIS_URL", "redis://of-the-environment/0")
    settings = Settings()
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://assay:of-the-file@db/assay"
    assert settings.redis_url.get_secret_value() == "redis://of-the-environment/0"


def test_a_folder_of_secrets_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASSAY_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(ValidationError, match="assay init"):
        Settings()


@pytest.mark.parametrize("name", ["s3_endpoint_url", "s3_public_endpoint_url", "sqs_endpoint_url", "sqs_queue_url"])
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("localhost:9000", "must begin with http:// or https://"),
        ("http://:9000", "must name a host"),
        ("http://store:port", "a port by its number"),
        ("http://user:hush@store:9000", "ASSAY_S3_ACCESS_KEY_ID"),
        ("http://user:hu/sh@store:9000", "ASSAY_S3_ACCESS_KEY_ID"),
    ],
)
def test_an_endpoint_that_is_no_address_is_refused_with_what_is_missing(name: str, address: str, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({name: address})
    assert words in refused.value.errors()[0]["msg"]
    assert "hu" not in refused.value.errors()[0]["msg"]
    assert "hush" not in str(refused.value)  # a traceback shows it whole


@pytest.mark.parametrize("address", [None, "", "http://127.0.0.1:9000", "https://s3.example.org"])
def test_an_endpoint_may_be_any_address_or_none(address: str | None) -> None:
    assert Settings.model_validate({"s3_endpoint_url": address}).s3_endpoint_url == address


def test_a_level_of_logs_may_be_spelt_small_but_must_be_one() -> None:
    assert Settings.model_validate({"log_level": "debug"}).log_level == "DEBUG"
    with pytest.raises(ValidationError, match="must be one of DEBUG, INFO"):
        Settings.model_validate({"log_level": "loud"})
