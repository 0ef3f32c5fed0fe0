"""BentoML: a service of decoder processes before a service that scores in batches, as its composition guide has it.

Services speak HTTP with each other. The batch dispatcher refuses what would wait longer than its limit.
"""

from pathlib import Path
from typing import Annotated, Any

import bentoml
from bentoml.validators import ContentType
from peers.shared import BATCH, TIMEOUT_SECONDS, open_bundle, prepare_upload, read_plans, score_batch

from worker.bundles.loaded import PreparedImage
from worker.cores import cores

_TRAFFIC = {"timeout": TIMEOUT_SECONDS}


@bentoml.service(workers=1, traffic=_TRAFFIC)
class Detectors:
    """The bundle, in one process."""

    def __init__(self) -> None:
        """Open the bundle."""
        self.bundle = open_bundle()

    @bentoml.api(batchable=True, max_batch_size=BATCH, max_latency_ms=TIMEOUT_SECONDS * 1000)
    def score(self, batch: list[Any]) -> list[Any]:
        """Score a batch, of which BentoML makes plain values; how long one waits for company, it learns."""
        return list(score_batch(self.bundle, [PreparedImage(**fields) for fields in batch]))


@bentoml.service(workers=max(2, cores()), traffic=_TRAFFIC)
class Uploads:
    """What clients reach: decodes, and asks the detectors."""

    detectors = bentoml.depends(Detectors)

    def __init__(self) -> None:
        """Read the view plans once a process."""
        self.plans = read_plans()

    @bentoml.api(route="/scan")
    async def scan(self, image: Annotated[Path, ContentType("image/jpeg")], /) -> dict[str, float]:
        """Decode one image, and wait for its probability."""
        prepared = prepare_upload(image.read_bytes(), self.plans)
        (answer,) = await self.detectors.to_async.score([prepared])
        return {"probability": answer["probability"]}
