"""Figures of the whole, beside the lists that they stand above."""

from datetime import timedelta

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
    for number in range(3):
        scanned.arrive(f"{number}.png")
    rejected = {"queue": BULK_QUEUE, "state": ScanState.REJECTED, "due_at": None}
    ends = [
        (ScanKind.RESCAN, Reason.UNDECODABLE),
        (ScanKind.THUMBNAIL, Reason.UNDECODABLE),
        (ScanKind.SHADOW, Reason.WITHDRAWN),
    ]
    with scanned.database.transaction() as session:
        images = session.query(Image).order_by(Image.id).all()
        for image, (kind, reason) in zip(images, ends, strict=True):
            session.execute(insert(Scan).values(image_pk=image.id, kind=kind, reason=reason, **rejected))
    listed = Queries(scanned.database).scans(ScanState.REJECTED, limit=9)
    assert [scan.kind for scan, _ in listed] == [ScanKind.RESCAN]
    assert Figures(scanned.database)(timedelta(days=1)).scans[ScanState.REJECTED] == 1
