"""What a run saw and made, kept with its bundle in the artifact bucket; and the bundle, registered.

No image is kept and none is named: the manifest tells labelled images by their rows' numbers, which lead nowhere once
an image was erased.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.evaluation.report import render
from training.retraining.gate_report import render_gate
from worker.bundles.copies import REPLAY, artifact_prefix, upload_bundle
from worker.bundles.folder import read_bundle
from worker.database.audit import Actor, record
from worker.database.bundles import register_bundle
from worker.database.challengers import OtherChallengerError, challenge
from worker.database.promotion import AlreadyChampionError, locked_champion
from worker.database.tables import Bundle
from worker.database.training_leases import complete

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from training.recipe import Recipe
    from training.retraining.refit import RefitPlan
    from worker.database.session import Database
    from worker.database.training_leases import RunLease
    from worker.objects.transfer import Transfer

    Facts = Mapping[str, Any]

TRAINER = Actor("training worker")


def run_prefix(version: str) -> str:
    """Name the place of what a run saw and made, beside its bundle's files."""
    return f"{artifact_prefix(version)}run/"


@dataclass(frozen=True)
class Challenger:
    """A bundle that was made and compared with the champion.

    Attributes:
        folder: the bundle's.
        plan: how it was made.
        gate: the gate's report.
        evaluation: its measures on the images left for the gate.
        facts: of the run, as they are on its card.
        replay: file of what it sees in the recipe's own held-out images, for refits; none where it tells no features.
    """

    folder: Path
    plan: Recipe | RefitPlan
    gate: Facts
    evaluation: Facts
    facts: Facts
    replay: Path | None

    @property
    def version(self) -> str:
        """The bundle's version."""
        return str(self.gate["challenger"])


def write_papers(work: Path, challenger: Challenger) -> Path:
    """Write what is to be kept of a challenger's run into the folder `papers`; gives the folder."""
    papers = work / "papers"
    papers.mkdir(exist_ok=True)
    plan, gate, evaluation = asdict(challenger.plan), challenger.gate, challenger.evaluation
    run = {**challenger.facts, "bundle": challenger.version}
    for name, value in (("recipe", plan), ("gate", gate), ("evaluation", evaluation), ("run", run)):
        (papers / f"{name}.json").write_text(json.dumps(value, indent=1, default=str), encoding="utf-8")
    (papers / "gate.html").write_text(render_gate(gate, run), encoding="utf-8")
    (papers / "evaluation.html").write_text(render(evaluation, {}), encoding="utf-8")
    if challenger.replay is not None:
        (papers / REPLAY).write_bytes(challenger.replay.read_bytes())
    out = work / "out"
    if (out / "manifest.parquet").exists():
        table = pq.read_table(out / "manifest.parquet")
        ours = pc.starts_with(table["name"], "image:")
        nothing = pa.nulls(len(table), pa.string())
        hidden = pc.if_else(ours, nothing, table["sha256"])
        kept = table.set_column(table.schema.get_field_index("sha256"), "sha256", hidden)
        pq.write_table(kept, papers / "manifest.parquet")
        (papers / "data.json").write_bytes((out / "data.json").read_bytes())
    return papers


def upload_papers(transfer: Transfer, papers: Path, out: Path, bucket: str, prefix: str) -> None:
    """Write papers and TensorBoard logs below a prefix of the bucket.

    Raises:
        RefusedError: the store refuses to keep them.
        ObjectStoreDownError: the store does not answer.
    """
    logs = [(file, f"tensorboard/{file.relative_to(out).parts[0]}/{file.name}") for file in out.glob("*/tensorboard/*")]
    for file, name in [*((file, file.name) for file in sorted(papers.iterdir())), *logs]:
        transfer.upload(file, bucket, prefix + name)


def register(  # noqa: PLR0917 (all of it is one act)
    database: Database,
    lease: RunLease,
    transfer: Transfer,
    folder: Path,
    bucket: str,
    gate: Mapping[str, Any],
    shadow_share: float,
) -> str:
    """Upload the bundle, register it with the gate's report and end the run; a challenger if the gate passed it.

    Returns:
        What became of it, in words.

    Raises:
        LeaseLostError: somebody else holds the run; nothing was registered.
    """
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    version = str(card["bundle"])
    figures = read_bundle(folder).figures
    upload_bundle(transfer, folder, bucket, artifact_prefix(version))
    detail = _outcome(gate)
    with database.transaction() as session:
        serving = locked_champion(session)
        name = version.rpartition("-")[0]
        new = register_bundle(
            session, version=version, name=name, location=artifact_prefix(version), card=card, figures=figures
        )
        if serving is None or serving.version != version:
            session.get_one(Bundle, version).gate = dict(gate)
        record(session, TRAINER, "bundle.register", f"bundle:{version}", run=lease.run_id, new=new, gate=gate["passed"])
        if serving is not None and serving.version != gate["champion"]:
            detail += f"; {serving.version} has become champion meanwhile, train it again to compare with that"
        elif gate["passed"] and shadow_share > 0:
            try:
                reason = f"made by training run {lease.run_id}, passed by the gate"
                challenge(session, TRAINER, version, shadow_share, reason)
            except (OtherChallengerError, AlreadyChampionError) as error:
                detail += f"; it does not scan in shadow yet: {error.detail}"
        complete(session, lease, bundle_version=version, report=gate, artifacts=run_prefix(version), detail=detail)
    return detail


def _outcome(gate: Mapping[str, Any]) -> str:
    if gate["passed"]:
        return "the gate passed it"
    failed = [rule["name"] for rule in gate["rules"] if not rule["passed"]]
    return f"the gate stopped it: {'; '.join(failed)}"
