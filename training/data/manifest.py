"""The manifest of a run: every picture with its content hash, facts and split; and what that shows.

Written into the run's folder before training, so that what a detector has seen can be told afterwards.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.data.leaks import Leak
    from training.data.parts import Parts

_SHOWN = 5


def splits_of(manifest: pa.Table, parts: Parts, measured_on: str = "test") -> NDArray[np.str_]:
    """Tell for each row of the manifest where its content went.

    It is one of `training`, `validation`, `measured_on`, `gate` and `unused`: copies of what is held out, and test
    parts that a bundle's run does not look at.
    """
    columns = (manifest[name].to_pylist() for name in ("sha256", "source", "part"))
    keys = np.array([" ".join(values) for values in zip(*columns, strict=True)])
    splits = np.full(len(keys), "unused", dtype="U10")
    went = [("training", parts.training), ("validation", parts.validation), (measured_on, parts.test)]
    for name, rows in (*went, ("gate", parts.gate)):
        # By source and part as well: a copy elsewhere is not what went there.
        of_rows = [" ".join(values) for values in zip(rows.hashes, rows.sources, rows.parts, strict=True)]
        splits[np.isin(keys, of_rows)] = name
    return splits


def describe(manifest: pa.Table, splits: NDArray[np.str_], leaks: list[Leak]) -> dict[str, Any]:
    """Sum the data up: its fingerprint, counts, byte duplicates and the leak audit, as plain values."""
    facts = manifest.select(["sha256", "label", "source", "part", "name"]).to_pydict()
    lines = sorted(f"{sha256} {label}" for sha256, label in zip(facts["sha256"], facts["label"], strict=True))
    return {
        "fingerprint": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "images": len(manifest),
        "ai_generated": sum(facts["label"]),
        "by_source": _counts(facts["source"]),
        "by_split": _counts(splits.tolist()),
        "duplicates": duplicates(facts),
        "leaks": {leak.kind: round(leak.auroc, 4) for leak in leaks},
    }


def fingerprint(manifest: pa.Table, splits: NDArray[np.str_]) -> str:
    """Name what a run is fitted and measured on: every content, its label and where it went, whatever their order."""
    columns = (manifest["sha256"].to_pylist(), manifest["label"].to_pylist(), splits.tolist())
    lines = sorted(" ".join(map(str, values)) for values in zip(*columns, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def duplicates(facts: dict[str, list[Any]]) -> dict[str, Any]:
    """Find pictures of the same bytes: in all, across the collection's own parts, and with different labels."""
    groups: dict[str, list[int]] = {}
    for index, sha256 in enumerate(facts["sha256"]):
        groups.setdefault(sha256, []).append(index)
    several = [group for group in groups.values() if len(group) > 1]
    across, disagreeing = _unlike(several, facts["part"]), _unlike(several, facts["label"])
    return {
        "groups": len(several),
        "groups_across_parts": len(across),
        "groups_with_both_labels": len(disagreeing),
        "examples": [[facts["name"][index] for index in group] for group in (disagreeing + across)[:_SHOWN]],
    }


def _unlike(groups: list[list[int]], values: list[Any]) -> list[list[int]]:
    return [group for group in groups if len({values[index] for index in group}) > 1]


def write(folder: Path, manifest: pa.Table, splits: NDArray[np.str_], description: dict[str, Any]) -> None:
    """Write `manifest.parquet` and `data.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(manifest.append_column("split", pa.array(splits.tolist())), folder / "manifest.parquet")
    (folder / "data.json").write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def as_text(description: dict[str, Any]) -> str:
    """Lay the description out for people."""
    duplicates, parts = description["duplicates"], description["by_split"]
    lines = [
        f"data: {description['images']} images, {description['ai_generated']} of them AI-generated, "
        f"{len(description['by_source'])} sources; " + ", ".join(f"{count} {name}" for name, count in parts.items()),
        (
            f"byte duplicates: {duplicates['groups']} groups, {duplicates['groups_across_parts']} of them across the "
            f"collection's own parts, {duplicates['groups_with_both_labels']} with both labels"
        ),
    ]
    if duplicates["groups_across_parts"]:
        lines.append("  copies of what is held out are left out of training")
    if duplicates["groups_with_both_labels"]:
        lines.append(f"  WARNING: the same bytes carry both labels, such as {' and '.join(duplicates['examples'][0])}")
    return "\n".join(lines) + "\n"


def _counts(values: list[str]) -> dict[str, int]:
    counted = pc.value_counts(pa.array(values)).to_pylist()
    return {row["values"]: row["counts"] for row in sorted(counted, key=lambda row: (-row["counts"], row["values"]))}
