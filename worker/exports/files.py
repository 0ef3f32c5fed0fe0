"""Writes a piece of an export as a file: CSV (RFC 4180, UTF-8), or Parquet with a typed column each."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worker.database.tables import ExportFormat
from worker.exports.contents import Columns, Kind

Rows = Sequence[Mapping[str, Any]]


def write_file(path: Path, form: ExportFormat, columns: Columns, rows: Rows) -> dict[str, Any]:
    """Write rows; return the file's `bytes`, `sha256` and `rows`."""
    (_write_csv if form is ExportFormat.CSV else _write_parquet)(path, columns, rows)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest, "rows": len(rows)}


def _write_csv(path: Path, columns: Columns, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([_plain(row[name]) for name in columns] for row in rows)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _write_parquet(path: Path, columns: Columns, rows: Rows) -> None:
    # Imported here: it is large, and most workers never make an export.
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    types = {
        Kind.INTEGER: pa.int64(),
        Kind.NUMBER: pa.float64(),
        Kind.TEXT: pa.string(),
        Kind.TIME: pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path, compression="zstd")
