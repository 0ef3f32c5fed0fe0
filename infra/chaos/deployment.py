"""A running Assay as a platform and its operators use it: what faults are struck with, and where the count is read."""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import redis
from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import ColumnElement, exists, func, select, text

from worker.database.served import newest_first
from worker.database.session import Database, connect
from worker.database.tables import Bundle, BundleRole, Image, Scan, ScanKind, ScanState, Verdict, Worker
from worker.decisions.vocabulary import DecidedBy
from worker.errors import AssayError
from worker.objects.clients import s3_client
from worker.settings import Settings

# How long a platform goes on trying to put an image whose store or API is away.
_PATIENCE_SECONDS = 90.0
_DOUBLED = text(
    "SELECT count(*) FROM (SELECT scan_id FROM verdict JOIN image ON image.id = image_pk "
    "WHERE image_id = ANY(:ids) AND decided_by <> 'human' GROUP BY scan_id HAVING count(*) > 1) AS twice"
)


class DeploymentError(AssayError):
    """The deployment did not do what chaos asked of it."""


@dataclass(frozen=True)
class Ending:
    """How the live scan of one version of an image stands: its state, with the reason where there is one.

    A scan that is completed without a verdict is `completed:no_verdict`.
    """

    outcome: str
    ended: bool


class Deployment:
    """Puts images as a platform does, acts as an operator does, and counts in the database."""

    def __init__(self, settings: Settings, api_url: str, api_key: str) -> None:
        """Keep the ways in.

        Args:
            settings: address database, object store and broker.
            api_url: of the API.
            api_key: with scope admin.
        """
        self.settings = settings
        self.database: Database = connect(settings.database_url.get_secret_value())
        self.s3 = s3_client(settings)
        self.bucket = settings.upload_buckets[0]
        self._api = httpx.Client(base_url=api_url, headers={"X-API-Key": api_key}, timeout=15, trust_env=False)

    def put(self, key: str, data: bytes) -> str:
        """Put an object, which is the image of that id; return its version."""
        answer = insist(lambda: self.s3.put_object(Bucket=self.bucket, Key=key, Body=data), f"put {key}")
        return str(answer.get("VersionId") or answer["ETag"].strip('"'))

    def delete(self, key: str, version: str | None = None) -> None:
        """Delete an object, or one version of it."""
        if version:
            insist(lambda: self.s3.delete_object(Bucket=self.bucket, Key=key, VersionId=version), f"delete {key}")
        else:
            insist(lambda: self.s3.delete_object(Bucket=self.bucket, Key=key), f"delete {key}")

    def upload(self, image_id: str, data: bytes) -> None:
        """Upload through the API, the same request again until it is taken."""
        headers = {"Assay-Image-Id": image_id, "Content-Type": "image/jpeg", "Idempotency-Key": f"chaos-{image_id}"}
        self._insist_on("POST", "/v1/images", content=data, headers=headers)

    def post_event(self, key: str, version: str, at: str, times: int = 1) -> None:
        """Post what a store would say of a new object."""
        stored = {"bucket": {"name": self.bucket}, "object": {"key": key, "versionId": version, "size": 1, "eTag": "0"}}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": at, "s3": stored}
        self._insist_on("POST", "/v1/events/s3", json={"Records": [record] * times})

    def change_champion(self, act: str) -> None:
        """Promote the bundle that rests (`promote`), or roll back the champion (`rollback`)."""
        path = "/v1/bundles/rollback" if act == "rollback" else f"/v1/bundles/{self.resting_bundle()}/promote"
        body = {"reason": "chaos"} | ({} if act == "rollback" else {"force": True})
        answer = self._api.post(path, json=body)
        if answer.is_error:
            raise DeploymentError(f"{path}: {answer.status_code} {answer.text[:200]}")

    def resting_bundle(self) -> str | None:
        """Return the newest bundle that does not serve; None where there is none."""
        with self.database.transaction() as session:
            resting = select(Bundle.version).where(Bundle.role != BundleRole.CHAMPION)
            return session.scalar(resting.order_by(Bundle.created_at.desc()).limit(1))

    def all_loaded(self) -> bool:
        """Tell whether every worker has loaded the champion and the bundle that rests."""
        with self.database.transaction() as session:
            champion = session.scalar(select(Bundle.version).where(Bundle.role == BundleRole.CHAMPION))
            loaded = session.scalars(select(Worker.bundles)).all()
        versions = {champion, self.resting_bundle()}
        return bool(loaded) and all(versions <= set(bundles) for bundles in loaded)

    def flush_broker(self) -> None:
        """Wipe the broker, as one does that lost its memory."""
        redis.Redis.from_url(self.settings.redis_url.get_secret_value()).flushall()

    def endings(self, image_ids: Collection[str]) -> Mapping[str, Sequence[Ending]]:
        """Return how the live scan of each version stands, the newest version first; unknown images are absent."""
        query = (
            select(Image.image_id, Scan.state, Scan.reason, Scan.finished_at, _has_verdict())
            .join(Scan, (Scan.image_pk == Image.id) & (Scan.kind == ScanKind.LIVE))
            .where(Image.image_id.in_(image_ids))
            .order_by(*newest_first())
        )
        endings: dict[str, list[Ending]] = defaultdict(list)
        with self.database.transaction() as session:
            for image_id, state, reason, finished, has_verdict in session.execute(query):
                why = reason if has_verdict or state != ScanState.COMPLETED else "no_verdict"
                endings[image_id].append(Ending(f"{state}:{why}" if why else state, finished is not None))
        return endings

    def open_scans(self, image_ids: Collection[str]) -> int:
        """Count scans of any kind that wait or are under way."""
        waiting = select(func.count()).select_from(Scan).join(Image, Image.id == Scan.image_pk)
        open_states = (ScanState.QUEUED, ScanState.DISPATCHED, ScanState.LEASED)
        with self.database.transaction() as session:
            mine = waiting.where(Image.image_id.in_(image_ids), Scan.state.in_(open_states))
            return session.scalar(mine) or 0

    def count_doubles(self, image_ids: Collection[str]) -> int:
        """Count scans with more than one verdict."""
        with self.database.transaction() as session:
            return session.scalar(_DOUBLED, {"ids": list(image_ids)}) or 0

    def _insist_on(self, method: str, path: str, **body: Any) -> None:
        def ask() -> None:
            answer = self._api.request(method, path, **body)
            if answer.status_code in {409, 429} or answer.is_server_error:
                raise httpx.TransportError(f"{answer.status_code}")
            if answer.is_error:
                raise DeploymentError(f"{method} {path}: {answer.status_code} {answer.text[:200]}")

        insist(ask, f"{method} {path}")


def _has_verdict() -> ColumnElement[bool]:
    """Tell whether what a scan was to decide is written; another scan of the same bundle may have done it."""
    of_image = (Verdict.image_pk == Scan.image_pk) & (Verdict.bundle_version == Scan.bundle_version)
    return exists().where(of_image, Verdict.shadow.is_(False), Verdict.decided_by != DecidedBy.HUMAN)


def insist(act: Callable[[], Any], what: str) -> Any:
    """Do something again until it is done, as platforms do.

    Raises:
        DeploymentError: it could not be done for a long time.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return act()
        except (BotoCoreError, ClientError, httpx.TransportError) as error:
            if time.monotonic() > deadline:
                raise DeploymentError(f"{what}: {error!r}") from error
            time.sleep(0.2)
