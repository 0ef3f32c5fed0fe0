"""The audit of what files give away."""

from collections.abc import Callable, Sequence

import pyarrow as pa

from training.data.leaks import LIMIT, Leak, as_text, audit
from training.data.picture_facts import picture_facts

Picture = Callable[..., bytes]


def audited(files: Sequence[bytes]) -> dict[str, Leak]:
    """Audit files whose classes take turns."""
    table = pa.Table.from_pylist([{**picture_facts(file), "label": i % 2} for i, file in enumerate(files)])
    return {leak.kind: leak for leak in audit(table)}


def test_files_made_alike_leak_nothing(picture: Picture) -> None:
    found = audited([picture(i, quality=90) for i in range(200)])
    assert not any(leak.warns for leak in found.values())
    assert found["format"].auroc == 0.5
    assert "WARNING" not in as_text(list(found.values()))


def test_png_against_jpeg_warns_of_the_format(picture: Picture) -> None:
    found = audited([picture(i, kind="PNG" if i % 2 else "JPEG") for i in range(60)])
    assert found["format"].auroc > 0.99
    assert {"format", "JPEG tables", "file size"} == {kind for kind, leak in found.items() if leak.warns}
    assert "WARNING: the data leaks its classes here" in as_text(list(found.values()))


def test_each_kind_of_fact_is_looked_at_alone(picture: Picture) -> None:
    by_quality = audited([picture(i, quality=95 if i % 2 else 75) for i in range(60)])
    assert by_quality["JPEG tables"].warns
    assert not by_quality["size"].warns
    by_size = audited([picture(i, 24 if i % 2 else 16) for i in range(60)])
    assert by_size["size"].warns
    assert by_size["JPEG tables"].auroc <= LIMIT
    by_metadata = audited([picture(i, icc_profile=b"x" * 200) if i % 2 else picture(i) for i in range(60)])
    assert by_metadata["metadata"].warns


def test_a_handful_of_pictures_is_not_audited(picture: Picture) -> None:
    assert not audited([picture(i) for i in range(6)])
    assert "not done" in as_text([])


def test_copies_are_looked_at_once(picture: Picture) -> None:
    """By its size in bytes a copy would be known again, and so would its class."""
    files = [picture(i, quality=90) for i in range(40)]
    copied = [files[place // 20 * 2 + place % 2] for place in range(400)]
    assert audited(copied)["file size"] == audited(files)["file size"]


def test_what_few_pictures_give_by_chance_does_not_warn() -> None:
    assert Leak("size", 0.72, 0.05).warns is False
    assert Leak("size", 0.72, 0.001).warns is True
    assert Leak("size", 0.6, 0.001).warns is False


def test_a_format_that_tells_twenty_pictures_apart_warns(picture: Picture) -> None:
    found = audited([picture(i, kind="PNG" if i % 2 else "JPEG") for i in range(20)])
    assert found["format"].warns
