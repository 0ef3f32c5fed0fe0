"""Bundles are promoted back and forth while images pour in: no scan is lost, doubled or judged by half a bundle."""

import io
from collections import Counter
from collections.abc import Callable

import httpx2
import pytest
from PIL import Image
from sqlalchemy import exists, select

from infra.demo_images import as_jpeg
from tests.support.assay_up import AssayUp, wait_until
from worker.bundles.engines import MOST_DIFFERENCE
from worker.bundles.loaded import Bundle, load_bundle, shipped_bundle
from worker.database.bundles import SHIPPED, register_bundle
from worker.database.tables import Image as ImageRow
from worker.database.tables import Verdict

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

StartAssay = Callable[..., AssayUp]


def picture(number: int) -> bytes:
    return as_jpeg(Image.effect_noise((64, 64), 10 + number % 90).convert("RGB").rotate(number))


def promote(assay: AssayUp, version: str) -> None:
    path = f"{assay.doors.api_url}/v1/bundles/{version}/promote"
    body = {"reason": "tests", "force": True}
    answer = httpx2.post(path, json=body, headers={"X-API-Key": assay.doors.api_key}, timeout=30)
    assert answer.status_code == 200, answer.text


class Platform:
    """Puts pictures, each under a key of its own."""

    def __init__(self, assay: AssayUp) -> None:
        self._assay = assay
        self.pictures: dict[str, bytes] = {}

    def put(self, count: int) -> None:
        for _ in range(count):
            key = f"load/{len(self.pictures):04d}.jpg"
            self.pictures[key] = picture(len(self.pictures))
            self._assay.put(key, self.pictures[key])

    def put_until_judged_by(self, version: str, seconds: float) -> None:
        """Put one picture after the other until a bundle judges: while it is loaded, the former one goes on."""

        def judged() -> bool:
            self.put(1)
            self._assay.wait_ended([f"load/{len(self.pictures) - 1:04d}.jpg"], seconds)
            with self._assay.database.transaction() as session:
                return bool(session.scalar(select(exists().where(Verdict.bundle_version == version))))

        wait_until(judged, seconds, f"a verdict of {version}")


def swap_under_load(assay: AssayUp, count: int, swaps: int, seconds: float) -> None:
    bundles = {bundle.version: bundle for bundle in (load_bundle(shipped_bundle(name)) for name in ("cifake", "wild"))}
    with assay.database.transaction() as session:
        for version, bundle in bundles.items():
            register_bundle(session, version=version, name=bundle.name, location=SHIPPED + bundle.name, card={})
    platform, (cifake, wild) = Platform(assay), bundles
    pictures = platform.pictures
    for swap in range(swaps):
        platform.put(count // swaps)
        version = (wild, cifake)[swap % 2]
        promote(assay, version)
        platform.put_until_judged_by(version, seconds)
    ended = assay.wait_ended(pictures, seconds)
    assert Counter(outcome.state for outcome in ended.values()) == {"completed": len(pictures)}
    with assay.database.transaction() as session:
        rows = session.execute(select(Verdict, ImageRow.key).join(ImageRow, ImageRow.id == Verdict.image_pk)).all()
    assert Counter(key for _, key in rows) == dict.fromkeys(pictures, 1)
    assert {verdict.bundle_version for verdict, _ in rows} == set(bundles)
    for verdict, key in rows[:: max(1, len(rows) // 60)]:
        assert verdict.bundle_version is not None
        assert verdict.probability == pytest.approx(
            probability(bundles[verdict.bundle_version], pictures[key]), abs=MOST_DIFFERENCE
        )
        assert verdict.detectors.keys() == set(bundles[verdict.bundle_version].detector_names)


def probability(bundle: Bundle, data: bytes) -> float:
    with Image.open(io.BytesIO(data)) as image:
        (scores,) = bundle.score([bundle.prepare(image)])
    return scores.probability


def test_a_promotion_in_the_middle_of_the_work_loses_and_doubles_nothing(start_assay: StartAssay) -> None:
    swap_under_load(start_assay(), count=120, swaps=2, seconds=180)
