"""Makes exports beside a worker's scans: piece by piece, each stored and then written down with the place it ends at.

So memory is bound by one piece, and whoever comes after a crash goes on from the last piece that was written down.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.database.exports import ExportLease, Exports, Place, prefix_of
from worker.database.session import Database
from worker.database.tables import ExportContent, ExportFormat
from worker.errors import TransientError, public
from worker.exports.contents import COLUMNS, read_page
from worker.exports.files import write_file
from worker.log import get_logger

log = get_logger()

ROWS_OF_A_PIECE = 20_000
_POLL_SECONDS = 5.0


class Exporter:
    """Takes exports that are due and makes their files."""

    def __init__(
        self,
        database: Database,
        upload: Callable[[Path, str, str], object],
        *,
        bucket: str,
        rows_of_a_piece: int = ROWS_OF_A_PIECE,
    ) -> None:
        """Keep the parts.

        Args:
            database: where exports are, and what they hold.
            upload: writes a file to a bucket under a key.
            bucket: the artifact bucket.
            rows_of_a_piece: most rows of one file.
        """
        self._database = database
        self._exports = Exports(database, bucket)
        self._upload = upload
        self._bucket = bucket
        self._rows = rows_of_a_piece

    def start(self, stop: threading.Event) -> None:
        """Make exports in a thread of its own until ``stop`` is set; what it leaves, the next worker makes."""
        threading.Thread(target=self._run, args=(stop,), name="exporter", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                is_idle = not self.export_once()
            except TransientError as error:
                log.warning("exports_postponed", error=error.detail)
                is_idle = True
            except Exception:  # the boundary of the thread: nobody would notice that it ended.
                log.exception("exporter_failed")
                is_idle = True
            if is_idle:
                stop.wait(_POLL_SECONDS)

    def export_once(self) -> bool:
        """Make the export that is due for the longest time; False where none is."""
        lease = self._exports.take()
        if lease is None:
            return False
        try:
            self._make(lease)
        except TransientError:
            self._exports.fail(lease, "a part of Assay is out of reach", ours=True)
            raise
        except Exception as error:
            self._exports.fail(lease, public(error))
            raise
        return True

    def _make(self, lease: ExportLease) -> None:
        export = lease.export
        number = len(export.files) + 1
        place = _place_of(export)
        while True:
            with self._database.transaction() as session:
                page = read_page(session, export, place, self._rows)
            last = len(page.rows) < self._rows
            file = self._store(export, number, page.rows)
            if not self._exports.add_file(lease, file, page.place, last=last):
                log.info("export_fenced", export=export.id)
                return
            if last:
                log.info("export_done", export=export.id, files=number)
                return
            number, place = number + 1, page.place

    def _store(self, export: Any, number: int, rows: Any) -> dict[str, Any]:
        content, form = ExportContent(export.content), ExportFormat(export.format)
        name = f"{content}-{export.since:%Y%m%d}-{export.until:%Y%m%d}-{number:05}.{form}"
        with tempfile.TemporaryDirectory(prefix="assay-export-") as folder:
            path = Path(folder) / name
            facts = write_file(path, form, COLUMNS[content], rows)
            self._upload(path, self._bucket, prefix_of(export.id) + name)
        return {"name": name, **facts}


def _place_of(export: Any) -> Place | None:
    return None if export.place_at is None or export.place_id is None else Place(export.place_at, export.place_id)
