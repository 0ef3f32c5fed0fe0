"""Deletes from the object store what was doomed: every version of an object, or all that lies under a prefix."""

from worker.database.pending_deletions import PendingDeletions
from worker.database.tables import DoomedObject
from worker.log import get_logger
from worker.objects.transfer import Transfer
from worker.objects.trouble import ObjectStoreDownError, RefusedError

log = get_logger()

_AT_ONCE = 100


class DeleteObjects:
    """Deletes what is due. What the store refuses comes due again in a minute, and is logged each time."""

    def __init__(self, doomed: PendingDeletions, transfer: Transfer) -> None:
        self._doomed = doomed
        self._transfer = transfer

    def __call__(self) -> int:
        """Delete what is due now; return how many entries are done."""
        done = 0
        while taken := self._doomed.take(_AT_ONCE):
            for entry in taken:
                try:
                    self._delete(entry)
                except (RefusedError, ObjectStoreDownError) as error:
                    log.warning("object_not_deleted", bucket=entry.bucket, error=error.detail)
                    continue
                self._doomed.forget(entry.id)
                done += 1
        return done

    def _delete(self, entry: DoomedObject) -> None:
        delete = self._transfer.delete_prefix if entry.prefix else self._transfer.delete
        delete(entry.bucket, entry.key)
