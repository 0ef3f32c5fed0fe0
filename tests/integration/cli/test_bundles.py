"""`assay bundles`: lists, shows and verifies bundles, moves them through folders and buckets, refuses foreign ones."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.cli.bundles import app
from worker.bundles.copies import BundleCopies
from worker.bundles.locate import bundle_copies
from worker.database.audit import Audit
from worker.database.promotion import Bundles
from worker.database.session import Database
from worker.errors import AssayError
from worker.settings import Settings

pytestmark = pytest.mark.integration

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, object_store: Any, stack_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    secrets = {
        "DATABASE_URL": database_url,
        "S3_ENDPOINT_URL": stack_settings.s3_endpoint_url,
        "S3_ACCESS_KEY_ID": stack_settings.s3_access_key_id,
        "S3_SECRET_ACCESS_KEY": stack_settings.s3_secret_access_key,
        "ARTIFACT_BUCKET": object_store.artifacts,
    }
    for name, value in secrets.items():
        monkeypatch.setenv(f"ASSAY_{name}", getattr(value, "get_secret_value", lambda value=value: value)())
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def shipped(repository: Path) -> Path:
    return repository / "worker" / "bundles" / "shipped" / "cifake"


@pytest.fixture
def copies(object_store: Any, stack_settings: Settings, tmp_path: Path) -> BundleCopies:
    """What a worker has of the artifact bucket's bundles."""
    changes = {"artifact_bucket": object_store.artifacts, "data_dir": tmp_path / "data"}
    return bundle_copies(stack_settings.model_copy(update=changes))


@pytest.fixture
def copy(shipped: Path, tmp_path: Path) -> Path:
    """A bundle's folder to spoil."""
    return Path(shutil.copytree(shipped, tmp_path / "bundle"))


def version_of(folder: Path) -> str:
    return str(json.loads((folder / "bundle.json").read_text("utf-8"))["version"])


def test_shipped_bundles_are_listed_shown_and_whole(run: Run, shipped: Path) -> None:
    rows = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert {row["name"]: row["is"] for row in rows} == {"cifake": "shipped", "wild": "shipped"}
    card = json.loads(run("show", "cifake", "--json").stdout)
    assert card["bundle"] == version_of(shipped)
    assert "20,000 images: cifake-test.parquet" in run("show", "cifake").stdout
    verified = run("verify").stdout
    assert version_of(shipped) in verified
    assert verified.count("whole") == 2


@pytest.mark.parametrize("name", ["cifake", "wild"])
def test_the_held_out_figures_of_shipped_cards_come_again_from_what_lies_beside_them(run: Run, name: str) -> None:
    again = json.loads(run("held-out", name, "--json").stdout)
    card = json.loads(run("show", name, "--json").stdout)
    assert again["bundle"] == card["bundle"]
    assert again["images"] >= 3000
    # To the last digit where every held-out image is there.
    for measure in again["figures"] if again["whole"] else ("accuracy", "auroc", "ece_15"):
        figures = again["figures"][measure]
        assert figures["card"] == card["held_out"][measure]
        assert figures["again"] == pytest.approx(figures["card"], abs=1e-9 if again["whole"] else 0.01), (
            f"{measure}: `assay bundles held-out {name} --write-card` puts what this release measures onto the card"
        )


def test_held_out_figures_go_onto_a_card_only_from_all_of_its_images(run: Run, copy: Path) -> None:
    card = json.loads((copy / "card.json").read_text("utf-8"))
    card["calibration_data"]["fingerprint_sha256"] = "of others"
    card.pop("card_sha256")  # changed on purpose
    (copy / "card.json").write_text(json.dumps(card), "utf-8")
    refused = run("held-out", copy, "--write-card")
    assert refused.exit_code != 0
    assert "not all that its card's figures are of" in str(refused.exception)
    assert json.loads((copy / "card.json").read_text("utf-8")) == card
    (copy / "replay.parquet").unlink()
    assert "training.export.replay" in str(run("held-out", copy).exception)


def test_a_bundle_goes_out_to_a_folder_and_a_bucket_and_comes_in_again(
    run: Run, copy: Path, copies: BundleCopies, database: Database, object_store: Any
) -> None:
    out, bucket = copy.with_name("copy"), f"s3://{object_store.plain}/shared/cifake"
    assert run("export", "cifake", out).exit_code == 0
    assert run("export", out, bucket).exit_code == 0
    imported = run("import", bucket)
    version = version_of(copy)
    assert imported.stdout.split() == [version, "registered"]
    assert "already" in run("import", out).stdout
    assert [entry.target for entry in Audit(database).page(limit=9, action="bundle.import")] == [f"bundle:{version}"]
    row = Bundles(database).get(version)
    assert row is not None
    assert row.role == "registered"
    assert f"{version}  whole" in run("verify", version).stdout
    folder = copies.folder(version, row.location, row.card["content_sha256"])
    for file in copy.glob("*.safetensors"):
        assert (folder / file.name).read_bytes() == file.read_bytes()


def test_a_bundle_that_was_changed_in_the_bucket_never_reaches_a_worker(
    run: Run, copy: Path, copies: BundleCopies, database: Database, object_store: Any
) -> None:
    run("import", copy)
    row = Bundles(database).get(version_of(copy))
    assert row is not None
    key = f"{row.location}clip.safetensors"
    weights = bytearray(object_store.s3.get_object(Bucket=object_store.artifacts, Key=key)["Body"].read())
    weights[-1] ^= 1
    object_store.s3.put_object(Bucket=object_store.artifacts, Key=key, Body=bytes(weights))
    with pytest.raises(AssayError, match=r"does not hold bundle .* as it was registered"):
        copies.folder(row.version, row.location, row.card["content_sha256"])
    assert not list(copy.with_name("data").rglob("*.safetensors"))


def _pickled(folder: Path) -> None:
    (folder / "clip.safetensors").write_bytes(pickle.dumps({"weight": [1.0]}))


def _renamed(folder: Path) -> None:
    description = json.loads((folder / "bundle.json").read_text("utf-8"))
    (folder / "bundle.json").write_text(json.dumps({**description, "name": "other"}), "utf-8")


def _recalibrated(folder: Path) -> None:
    description = json.loads((folder / "bundle.json").read_text("utf-8"))
    description["fusion"]["bias"] += 1.0
    (folder / "bundle.json").write_text(json.dumps(description), "utf-8")


def _newer(folder: Path) -> None:
    description = json.loads((folder / "bundle.json").read_text("utf-8"))
    (folder / "bundle.json").write_text(json.dumps({**description, "format": 99}), "utf-8")


def _climbing(folder: Path) -> None:
    text = (folder / "bundle.json").read_text("utf-8")
    (folder / "bundle.json").write_text(text.replace('"clip": {', '"../clip": {'), "utf-8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_pickled, "a pickle and no safetensors file: pickles may run code and are never loaded"),
        (lambda folder: (folder / "clip.pt").write_bytes(b""), "clip.pt, no part of the bundle"),
        (_renamed, "damaged or changed"),
        (_recalibrated, "damaged or changed"),
        (_newer, "format 99"),
        (_climbing, "refused"),
        (lambda folder: (folder / "clip.safetensors").unlink(), "does not exist"),
        (lambda folder: (folder / "bundle.json").write_text("{", "utf-8"), "cannot be read"),
    ],
)
def test_a_foreign_or_spoilt_bundle_is_refused_with_what_to_do(
    run: Run, copy: Path, spoil: Callable[[Path], None], words: str, database: Database
) -> None:
    spoil(copy)
    result = run("import", copy)
    assert result.exit_code == 1
    assert isinstance(result.exception, AssayError)
    assert words in str(result.exception)
    assert Bundles(database).all() == []


def test_a_bundle_whose_card_links_to_secrets_publishes_nothing(
    run: Run, copy: Path, database: Database, object_store: Any, tmp_path: Path
) -> None:
    """The same for a hard link, which looks like any file."""
    (tmp_path / "credentials.json").write_text('{"postgres": "hush"}')
    for link in (Path.symlink_to, Path.hardlink_to):
        (copy / "card.json").unlink()
        link(copy / "card.json", tmp_path / "credentials.json")
        for command in (("import", copy), ("export", copy, f"s3://{object_store.plain}/x")):
            refused = run(*command)
            assert isinstance(refused.exception, AssayError)
            assert "hush" not in str(refused.exception)
    assert Bundles(database).all() == []
    for bucket in (object_store.artifacts, object_store.plain):
        assert "Contents" not in object_store.s3.list_objects_v2(Bucket=bucket)


def test_bundles_are_immutable_and_unknown_ones_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "something").write_text("here")
    assert "not empty" in run("export", "cifake", tmp_path).stderr
    unknown = run("show", "nobody-0123")
    assert "shipped are cifake, wild" in str(unknown.exception)
    assert "holds no bundle.json" in str(run("verify", tmp_path).exception)
    (tmp_path / "model.pth").write_bytes(b"")
    for named in (tmp_path, tmp_path / "model.pth"):
        assert "a pickle (model.pth): pickles may run code" in str(run("import", named).exception)
    assert "s3://bucket/prefix" in run("show", "s3://lonely").stderr
