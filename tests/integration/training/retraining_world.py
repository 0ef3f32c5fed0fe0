"""A database with a champion, a bucket with labelled uploads, and runs that train on them."""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import insert

from tests.conftest import Buckets
from tests.learning_pictures import picture, write_base
from training.retraining.order import DataSources, data_sources
from training.retraining.run_process import execute
from training.train import order_of, train
from worker.bundles.copies import artifact_prefix, upload_bundle
from worker.database.audit import Actor
from worker.database.bundles import crown, register_bundle
from worker.database.session import Database
from worker.database.tables import Bundle, Image, Label, Policy, TrainingRun
from worker.database.training_leases import TrainingLeases
from worker.database.training_runs import TrainingRuns
from worker.objects.transfer import transfer
from worker.settings import Settings

ME = Actor("me")
BASE_IMAGES = 1800


def make_base(folder: Path) -> Path:
    """Fill a folder with the recipe's data, and below `bundle` the champion that was trained on it."""
    write_base(folder, BASE_IMAGES)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = train(order_of(str(folder / "tiny.toml"), str(folder), folder / "run", device="cpu"))
    torch.set_num_threads(threads)
    Path(made["folder"]).rename(folder / "bundle")
    return folder


@dataclass(frozen=True)
class World:
    """A database with a champion, a bucket with uploads, and settings that point at them."""

    database: Database
    buckets: Buckets
    settings: Settings
    champion: str

    def label(
        self,
        kind: str,
        label: str,
        seeds: range,
        reviewers: tuple[str, ...] = ("maria", "ali"),
        *,
        upload: bool = True,
        prefix: str = "",
    ) -> list[int]:
        """Upload pictures as scanned images, or pretend to, and label each; return their rows."""
        pks = []
        with self.database.transaction() as session:
            for seed in seeds:
                body, key = picture(kind, seed), f"{prefix}{kind}/{seed}.png"
                version = self.buckets.put(self.buckets.uploads, key, body)["VersionId"] if upload else "gone"
                place = {"bucket": self.buckets.uploads, "key": key, "version": version, "versioned": True}
                known = {"image_id": key, "source": "uploads", "sha256": sha256(body).hexdigest()}
                pk = session.scalars(insert(Image).values(**place, **known).returning(Image.id)).one()
                for reviewer in reviewers:
                    session.execute(insert(Label).values(image_pk=pk, label=label, reviewer=reviewer, reason="seen"))
                pks.append(pk)
        return pks

    def queue(self, recipe: str = "tiny", **parameters: Any) -> int:
        return TrainingRuns(self.database).queue(ME, recipe, parameters).id

    @property
    def sources(self) -> DataSources:
        return data_sources(self.settings)

    def run(self, run_id: int) -> TrainingRun:
        found = TrainingRuns(self.database).get(run_id)
        assert found is not None
        return found

    def executed(self, recipe: str = "tiny", **parameters: Any) -> TrainingRun:
        """Ask for a run and execute it here."""
        run_id = self.queue(recipe, **parameters)
        lease = TrainingLeases(self.database).claim(600)
        assert lease is not None
        execute(lease, self.settings)
        return self.run(run_id)

    def bundle(self, version: str | None) -> Bundle:
        with self.database.transaction() as session:
            return session.get_one(Bundle, version)

    def artifacts(self, prefix: str) -> dict[str, bytes]:
        listed = self.buckets.s3.list_objects_v2(Bucket=self.buckets.artifacts, Prefix=prefix)["Contents"]
        return {
            found["Key"].removeprefix(prefix): self.buckets.s3.get_object(
                Bucket=self.buckets.artifacts, Key=found["Key"]
            )["Body"].read()
            for found in listed
        }


def make_world(base: Path, database: Database, buckets: Buckets, settings: Settings) -> World:
    """Crown the base's bundle in a database of its own; `settings` are of the stack and name the database."""
    changes = {
        "artifact_bucket": buckets.artifacts,
        "training_data": base,
        "training_recipes": base,
        "training_threads": 1,
        "device": "cpu",
        "audit_share": 0.0,
    }
    settings = settings.model_copy(update=changes)
    card = json.loads((base / "bundle" / "card.json").read_text())
    version = str(card["bundle"])
    upload_bundle(transfer(settings), base / "bundle", buckets.artifacts, artifact_prefix(version))
    with database.transaction() as session:
        register_bundle(session, version=version, name="tiny", location=artifact_prefix(version), card=card)
        crown(session, session.get_one(Bundle, version), created_by="test", reason="first")
        # Few images certify little.
        session.add(Policy(prior_shift=0.0, false_positive_budget=0.05, miss_budget=0.05, by_source={}, created_by="t"))
    return World(database, buckets, settings, version)
