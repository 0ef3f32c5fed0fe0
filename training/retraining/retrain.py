"""THE STORY of a training run: data → fitted → compared → kept, from an order to a registered challenger.

Each step takes what the one before it gives, and leaves it in the run's folder. A run may be killed at any moment:
whoever holds its lease next begins the story again and finds there what was done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from training.export.card import code_version
from training.recipe import RecipeError
from training.retraining.data import agreed, gather, recipe_of
from training.retraining.gate_case import Origin, Terms
from training.retraining.gate_run import compare, left_for_gate, origins_of, terms_of
from training.retraining.keep import Challenger, register, run_prefix, upload_papers, write_papers
from training.retraining.order import REFIT
from training.retraining.refit import refit
from training.retraining.refit_data import bring_replay, joined, keep_for_replay, replayed, stored
from training.train import Order, train
from worker.bundles.card import read_card
from worker.bundles.copies import REPLAY
from worker.bundles.folder import read_bundle, write_bundle
from worker.bundles.loaded import load_bundle
from worker.bundles.locate import UnknownBundleError
from worker.database.bundles import champion
from worker.database.tables import Policy
from worker.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.retraining.order import DataSources, RunOrder
    from training.retraining.progress import Progress
    from worker.bundles.locate import Locate
    from worker.database.session import Database
    from worker.database.tables import Bundle
    from worker.database.training_leases import RunLease
    from worker.objects.object_store import ObjectStore
    from worker.objects.transfer import Transfer


class NoBundleError(AssayError):
    """There is no champion to compare with; start a worker once, or promote a bundle."""


@dataclass(frozen=True)
class Run:
    """A run and its hands.

    Attributes:
        order: what is asked for.
        lease: on its row.
        facts: what its row says, for the card.
        folder: its own, on this machine.
        sources: where data may come from.
        database: has labels, bundles and policies.
        objects: has the labelled images.
        store, bucket: where challengers are kept.
        locate: gives the folder of a registered bundle.
        device: a torch device.
        progress: is told of each stage.
        shadow_share: of live images that a challenger scans.
    """

    order: RunOrder
    lease: RunLease
    facts: Mapping[str, Any]
    folder: Path
    sources: DataSources
    database: Database
    objects: ObjectStore
    store: Transfer
    bucket: str
    locate: Locate
    device: str
    progress: Progress
    shadow_share: float

    @property
    def out(self) -> Path:
        """Where the challenger and what leads to it are made."""
        return self.folder / "out"


def retrain(run: Run) -> str:
    """Make a challenger, keep it and register it; return what became of it, in words.

    Raises:
        AssayError: the order cannot be executed; the message says what to do.
        TransientError: a part is away; the run goes on once it is back.
        LeaseLostError: somebody else holds the run.
    """
    serving, terms = read_champion(run.database), read_terms(run.database)
    make = refit_champion if run.order.recipe == REFIT else train_challenger
    challenger = make(run, serving, terms)
    run.progress.stage("keep")
    papers = write_papers(run.folder, challenger)
    upload_papers(run.store, papers, run.out, run.bucket, run_prefix(challenger.version))
    return register(
        run.database, run.lease, run.store, challenger.folder, run.bucket, challenger.gate, run.shadow_share
    )


def train_challenger(run: Run, serving: Bundle, terms: Terms) -> Challenger:
    """Train with a recipe, and compare on the images that were left for the gate."""
    recipe = recipe_of(run.order, run.sources)
    run.progress.detectors = tuple(part.name for part in recipe.detectors)

    run.progress.stage("data")
    data = gather(recipe, run.order, run.folder, run.database, run.objects, run.sources)
    facts = _facts(run, serving, len(data.images))
    start_from = _locate(run, run.order.base_bundle) if run.order.base_bundle else None

    run.progress.stage("fit", labels=len(data.images))
    recipe = replace(data.recipe, card={**recipe.card, "training": facts})
    listener, named = run.progress.fitting, f"run {run.lease.run_id}"
    train(Order(recipe, data.folder, run.out, run.device, listener=listener, start_from=start_from, named=named))
    folder = run.out / "bundle"

    run.progress.stage("gate")
    since = _newest_label(serving)
    rows = left_for_gate(data, run.out)
    origins = origins_of(rows, data, since)
    earlier = sum(image.newest_id <= since for image in data.images)
    gate, evaluation = compare(
        run.locate(serving.version), folder, rows, origins, terms=terms, device=run.device, earlier=earlier
    )

    replay = run.folder / REPLAY
    keep_for_replay(load_bundle(folder, run.device), rows.take(origins == Origin.RECIPE), replay)
    return Challenger(folder, recipe, gate, evaluation, facts, replay if replay.exists() else None)


def refit_champion(run: Run, serving: Bundle, terms: Terms) -> Challenger:
    """Fit head, fusion and calibration on stored features, and compare on those left over: seconds, without pixels."""
    version = run.order.base_bundle or serving.version
    if version != serving.version:
        raise RecipeError(f"a refit starts from the champion, {serving.version}: its features are what scans store")

    run.progress.stage("data")
    folder = run.locate(version)
    base = read_bundle(folder)
    alike = (version, *read_card(base.card).same_features_as)
    with run.database.transaction() as session:
        contents = agreed(session, run.order, run.sources.terms)
        labels = stored(session, contents, alike, tuple(base.detectors), _newest_label(serving))
    bring_replay(run.store, run.bucket, run_prefix(version), folder, run.folder / REPLAY)
    replay = replayed(run.folder / REPLAY, alike)
    images = joined(labels, replay)
    facts = _facts(run, serving, int((images.origins != Origin.RECIPE).sum()))

    run.progress.stage("fit", images=len(images))
    made = refit(base, images, terms, {"training": facts})
    write_bundle(made.parts, run.out / "bundle")
    # What is replayed are features of the base, and so they are of the new bundle.
    kept = run.folder / REPLAY if replay is not None else None
    return Challenger(run.out / "bundle", made.plan, made.gate, made.evaluation, facts, kept)


def read_champion(database: Database) -> Bundle:
    """Return the champion; raises NoBundleError."""
    with database.transaction() as session:
        serving = champion(session)
    if serving is None:
        raise NoBundleError
    return serving


def read_terms(database: Database) -> Terms:
    """Return how much the newest policy asks for."""
    with database.transaction() as session:
        policy = session.scalars(select(Policy).order_by(Policy.version.desc()).limit(1)).one()
        return terms_of(vars(policy))


def _locate(run: Run, version: str) -> Path:
    try:
        return run.locate(version)
    except UnknownBundleError as error:  # what an order names will not come by waiting
        raise NoBundleError(f"there is no bundle {version}; name one that `assay bundles list` shows") from error


def _newest_label(serving: Bundle) -> int:
    """Return the newest label that the champion was made with; those beyond it are new."""
    return read_card(serving.card).training.labels_until


def _facts(run: Run, serving: Bundle, labels: int) -> dict[str, Any]:
    """Say on the card how the bundle came about."""
    return {**run.facts, "labels": labels, "champion": serving.version, "code_version": code_version().document()}
