"""The sweep: lists the upload buckets and registers what events missed."""

from collections.abc import Sequence

from worker.database.images import news
from worker.database.session import Database
from worker.ingest.events import ObjectCreated
from worker.ingest.sqs import Registers
from worker.log import get_logger
from worker.objects.object_store import ObjectStore
from worker.objects.versions import ListedObject, is_name

log = get_logger()


class Sweep:
    """Reconciles buckets with the database; what is known already costs one query a page."""

    def __init__(
        self, database: Database, objects: ObjectStore, register: Registers, upload_buckets: Sequence[str]
    ) -> None:
        self._database = database
        self._objects = objects
        self._register = register
        self._buckets = upload_buckets

    def __call__(self) -> int:
        """Sweep every upload bucket once; return how many images were new.

        Raises:
            TransientError: a part is out of reach; what was registered stays.
        """
        new = sum(self._sweep_bucket(bucket) for bucket in self._buckets)
        if new:
            log.info("sweep_found", images=new)
        return new

    def _sweep_bucket(self, bucket: str) -> int:
        return sum(self._sweep_page(bucket, page) for page in self._objects.pages(bucket))

    def _sweep_page(self, bucket: str, page: list[ListedObject]) -> int:
        listed = {
            (entry.key, entry.version.version_id or entry.version.etag): entry for entry in page if is_name(entry.key)
        }
        with self._database.transaction() as session:
            missing = news(session, bucket, {pair: entry.stored_at for pair, entry in listed.items()})
        created = 0
        for pair in sorted(missing):
            version = listed[pair].version
            registered = self._register(ObjectCreated(bucket, (pair[0],), version.version_id, version.etag))
            created += bool(registered and registered.created)
        return created
