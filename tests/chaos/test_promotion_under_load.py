"""Bundles are promoted back and forth while images pour in: no scan is lost, doubled or judged by half a bundle."""

import io
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from PIL import Image
from sqlalchemy import func, select

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


def put_all(assay: AssayUp, pictures: dict[str, bytes]) -> None:
    for key, data in pictures.items():
        assay.put(key, data)


def wait_judged(assay: AssayUp, least: int, seconds: float) -> None:
    def enough() -> bool:
        with assay.database.transaction() as session:
            return (session.scalar(select(func.count()).select_from(Verdict)) or 0) >= least

    wait_until(enough, seconds, f"{least} verdicts")


def swap_under_load(assay: AssayUp, count: int, swaps: int, seconds: float) -> None:
    bundles = {bundle.version: bundle for bundle in (load_bundle(shipped_bundle(name)) for name in ("cifake", "wild"))}
    with assay.database.transaction() as session:
        for version, bundle in bundles.items():
            register_bundle(session, version=version, name=bundle.name, location=SHIPPED + bundle.name, card={})
    pictures = {f"load/{number:04d}.jpg": picture(number) for number in range(count)}
    cifake, wild = bundles
    with ThreadPoolExecutor(1) as platform:
        # Beside the promotions: a worker that keeps pace would have judged everything before the first of them.
        putting = platform.submit(put_all, assay, pictures)
        for swap in range(swaps):
            wait_judged(assay, (swap + 1) * count // (swaps + 2), seconds)
            promote(assay, (wild, cifake)[swap % 2])
        putting.result(seconds)
    ended = assay.wait_ended(pictures, seconds)
    assert Counter(outcome.state for outcome in ended.values()) == {"completed": count}
    with assay.database.transaction() as session:
        rows = session.execute(select(Verdict, ImageRow.key).join(ImageRow, ImageRow.id == Verdict.image_pk)).all()
    assert Counter(key for _, key in rows) == dict.fromkeys(pictures, 1)
    assert {verdict.bundle_version for verdict, _ in rows} == set(bundles)
    for verdict, key in rows[:: max(1, count // 60)]:
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
    swap_under_load(start_assay(ASSAY_BUNDLE="cifake"), count=120, swaps=2, seconds=180)


@pytest.mark.slow
def test_two_thousand_images_see_ten_promotions(start_assay: StartAssay) -> None:
    swap_under_load(start_assay(ASSAY_BUNDLE="cifake"), count=2000, swaps=10, seconds=600)
