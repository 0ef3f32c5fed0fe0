"""Files to and from a store that is away, refuses, or has nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.worker.objects.answering_store import OUTAGES, REFUSALS, Answer, client_of, error_of
from worker.errors import AssayError, GoneError, TooLargeError
from worker.objects.transfer import Transfer
from worker.objects.trouble import ObjectStoreDownError, RefusedError

Act = Callable[[Transfer, Path], object]
ACTS: list[Act] = [
    lambda transfer, folder: transfer.upload(folder / "kept.json", "artifacts", "kept.json"),
    lambda transfer, folder: transfer.download("artifacts", "kept.json", folder / "brought.json"),
    lambda transfer, _: transfer.delete("artifacts", "kept.json"),
    lambda transfer, _: transfer.delete_prefix("artifacts", "kept/"),
]


@pytest.fixture
def transfer(answer: Answer) -> Iterator[Transfer]:
    with client_of(answer) as client:
        yield Transfer(client)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "kept.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("answers", "error"), [(OUTAGES, ObjectStoreDownError), (REFUSALS[:3], RefusedError)], ids=["outages", "refusals"]
)
def test_every_way_tells_an_outage_from_a_refusal(  # noqa: PLR0917 (fixtures)
    transfer: Transfer,
    answer: Answer,
    folder: Path,
    act: Act,
    answers: list[tuple[int, str]],
    error: type[AssayError],
) -> None:
    for status, code in answers:
        answer.status, answer.body = status, error_of(code)
        with pytest.raises(error):
            act(transfer, folder)


def test_a_file_that_is_not_in_the_store_is_gone_and_leaves_nothing_here(
    transfer: Transfer, answer: Answer, folder: Path
) -> None:
    answer.status, answer.body = 404, error_of("NoSuchKey")
    with pytest.raises(GoneError):
        transfer.download("artifacts", "none.json", folder / "brought.json")
    assert [file.name for file in folder.iterdir()] == ["kept.json"]


def test_a_file_that_is_too_large_is_not_read(transfer: Transfer, answer: Answer, folder: Path) -> None:
    answer.body = b"x" * 101
    with pytest.raises(TooLargeError, match="it has 101 bytes, the limit is 100"):
        transfer.download("artifacts", "large.json", folder / "brought.json", max_bytes=100)
    assert not (folder / "brought.json").exists()


def test_a_file_travels_with_its_type(transfer: Transfer, answer: Answer, folder: Path) -> None:
    answer.headers = {"ETag": '"e1"'}
    (folder / "weights.safetensors").write_bytes(b"x")
    for name in ("kept.json", "weights.safetensors"):
        transfer.upload(folder / name, "artifacts", name)
    kinds = [headers["Content-Type"] for _, headers in answer.asked]
    assert kinds == ["application/json", "application/octet-stream"]
