"""Which places are buckets."""

from pathlib import Path

import pytest
import typer

from infra.cli.bundles import export
from infra.cli.bundles_open import bucket_and_prefix, folder_of, in_bucket


@pytest.mark.parametrize("place", ["s3://models/wild", "S3://models/wild"])
def test_an_address_of_s3_may_be_spelt_large(place: str) -> None:
    assert in_bucket(place)
    assert bucket_and_prefix(place) == ("models", "wild")


@pytest.mark.parametrize("place", ["wild", "a/folder", "/a/s3:/b"])
def test_a_path_is_no_address(place: str) -> None:
    assert not in_bucket(place)


@pytest.mark.parametrize("place", ["gs://models/wild", "https://models/wild"])
def test_other_addresses_are_refused_and_make_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(typer.BadParameter, match="only s3://bucket/prefix is known"):
        export("wild", place)
    with pytest.raises(typer.BadParameter, match="only s3://bucket/prefix is known"), folder_of(place):
        pass
    assert list(tmp_path.iterdir()) == []
