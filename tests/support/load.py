"""Images in a folder of the bucket, and what became of them, for tests that strike faults meanwhile."""

from collections import Counter
from collections.abc import Collection

from PIL import Image
from sqlalchemy import select

from infra.demo_images import as_jpeg
from tests.support.assay_up import AssayUp, wait_until
from worker.database.tables import Image as ImageRow
from worker.database.tables import Verdict


def put_images(assay: AssayUp, count: int, folder: str) -> list[str]:
    """Put small pictures, each of other pixels than its neighbours; return their keys."""
    keys = [f"{folder}/{number:04d}.jpg" for number in range(count)]
    for number, key in enumerate(keys):
        assay.put(key, as_jpeg(Image.effect_noise((64, 64), 10 + number % 90).convert("RGB")))
    return keys


def wait_some_done(assay: AssayUp, keys: Collection[str], least: int) -> None:
    """Wait until so many of the images have ended."""

    def some() -> bool:
        versions = assay.outcomes(keys).values()
        return sum(outcome.ended_at is not None for of_key in versions for outcome in of_key) >= least

    wait_until(some, 120, f"the first {least} verdicts")


def assert_one_verdict_each(assay: AssayUp, keys: Collection[str], seconds: float) -> None:
    """Wait until all images have ended; each has exactly one verdict."""
    ended = assay.wait_ended(keys, seconds)
    assert {outcome.state for outcome in ended.values()} == {"completed"}
    with assay.database.transaction() as session:
        judged = session.scalars(
            select(ImageRow.key).join(Verdict, Verdict.image_pk == ImageRow.id).where(ImageRow.key.in_(keys))
        )
        assert Counter(judged) == dict.fromkeys(keys, 1)
