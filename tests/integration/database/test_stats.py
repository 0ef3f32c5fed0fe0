"""Figures of the whole, beside the lists that they stand above."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from tests.conftest import Scanned
from worker.database.images import BULK_QUEUE
from worker.database.served import Queries
from worker.database.stats import Figures
from worker.database.tables import Image, Scan, ScanKind, ScanState
from worker.errors import Reason

pytestmark = pytest.mark.integration


def test_rejected_scans_are_counted_as_they_are_listed(scanned: Scanned) -> None:
    for number in range(4):
        scanned.arrive(f"{number}.png")
    rejected = {"queue": BULK_QUEUE, "state": ScanState.REJECTED, "due_at": None}
    ends = [
        (ScanKind.RESCAN, Reason.UNDECODABLE),
        (ScanKind.THUMBNAIL, Reason.UNDECODABLE),
        (ScanKind.SHADOW, Reason.WITHDRAWN),
        (ScanKind.RESCAN, Reason.GONE),
    ]
    with scanned.database.transaction() as session:
        images = session.query(Image).order_by(Image.id).all()
        for image, (kind, reason) in zip(images, ends, strict=True):
            session.execute(insert(Scan).values(image_pk=image.id, kind=kind, reason=reason, **rejected))
        images[-1].erased_at = datetime.now(UTC)  # it is as good as unknown
    listed = Queries(scanned.database).scans(ScanState.REJECTED, limit=9)
    assert [scan.kind for scan, _ in listed] == [ScanKind.RESCAN]
    assert Figures(scanned.database)(timedelta(days=1)).scans[ScanState.REJECTED] == 1
