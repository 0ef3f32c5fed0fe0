"""Only plain files of a bundle are read, each within its limit."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.bundles.copies import download_bundle, upload_bundle
from worker.bundles.plain_files import MAX_DEPTH, MAX_JSON_BYTES, BundleError, check_plain, open_plain, read_json
from worker.objects.transfer import Transfer


class RememberingClient:
    """Keeps what was uploaded; gives objects of any size."""

    def __init__(self, size: int = 1) -> None:
        self.uploaded: dict[str, bytes] = {}
        self.downloaded: list[str] = []
        self._size = size

    def upload_fileobj(self, file: Any, _bucket: str, key: str, **_: Any) -> None:
        self.uploaded[key] = file.read()

    def head_object(self, **_: str) -> dict[str, int]:
        return {"ContentLength": self._size}

    def download_file(self, _bucket: str, key: str, _file: str) -> None:
        self.downloaded.append(key)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "bundle.json").write_text(json.dumps({"detectors": {"clip": {}}}))
    (folder / "card.json").write_text("{}")
    (folder / "clip.safetensors").write_bytes(b"weights")
    return folder


def _link(file: Path) -> None:
    secret = file.parent.parent / "credentials.json"
    secret.write_text('{"password": "hush"}')
    file.symlink_to(secret)


def _device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _large(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(9 * 1024**3)


@pytest.mark.parametrize("name", ["card.json", "clip.safetensors", "bundle.json"])
@pytest.mark.parametrize("make", [_link, _device, os.mkfifo, Path.mkdir, _large])
def test_a_folder_with_anything_but_plain_files_is_refused_before_anything_is_uploaded(
    folder: Path, name: str, make: Callable[[Path], None]
) -> None:
    (folder / name).unlink()
    make(folder / name)
    client: Any = RememberingClient()
    with pytest.raises(BundleError):
        upload_bundle(Transfer(client), folder, "artifacts", "bundles/x")
    assert client.uploaded == {}


def test_plain_files_are_uploaded_and_the_description_comes_last(folder: Path) -> None:
    client: Any = RememberingClient()
    upload_bundle(Transfer(client), folder, "artifacts", "bundles/x")
    assert list(client.uploaded) == ["bundles/x/clip.safetensors", "bundles/x/card.json", "bundles/x/bundle.json"]


def test_a_link_is_refused_without_a_word_of_where_it_leads(folder: Path) -> None:
    (folder / "card.json").unlink()
    _link(folder / "card.json")
    with pytest.raises(BundleError, match="is a link") as refused:
        read_json(folder / "card.json")
    assert "credentials" not in refused.value.detail


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"srm\.safetensors does not exist"):
        check_plain(folder, ["clip.safetensors", "srm.safetensors"])


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_a_description_that_is_nested_too_deeply_is_refused(folder: Path, depth: int) -> None:
    (folder / "card.json").write_text('{"a":' + "[" * depth + "]" * depth + "}")
    with pytest.raises(BundleError, match="nested"):
        read_json(folder / "card.json")


def test_what_changes_while_it_is_open_stays_what_was_checked(folder: Path) -> None:
    with open_plain(folder / "card.json") as opened:
        (folder / "card.json").unlink()
        _link(folder / "card.json")
        assert opened.read() == b"{}"


def test_a_strangers_bucket_cannot_fill_the_disk(tmp_path: Path) -> None:
    client: Any = RememberingClient(size=MAX_JSON_BYTES + 1)
    with pytest.raises(BundleError, match="bytes"):
        download_bundle(Transfer(client), "stranger", "bundle", tmp_path)
    assert client.downloaded == []
