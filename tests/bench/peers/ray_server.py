"""Ray Serve: a deployment of decoder processes before one that scores in batches, as its composition guide has it.

Views pass from process to process through Ray's object store, in shared memory.
"""

import signal

import ray
from peers.shared import (
    BATCH,
    TIMEOUT_SECONDS,
    WAIT_SECONDS,
    open_bundle,
    prepare_upload,
    read_plans,
    read_port,
    score_batch,
)
from ray import serve
from starlette.requests import Request

from worker.bundles.loaded import PreparedImage
from worker.cores import cores

# Ray's cores are tickets that bind nobody; all replicas share the machine's, as every other peer's processes do.
_LITTLE = {"num_cpus": 0.1}


@serve.deployment(num_replicas=1, max_ongoing_requests=4 * BATCH, ray_actor_options=_LITTLE)
class Detectors:
    """The bundle, in one process."""

    def __init__(self) -> None:
        """Open the bundle."""
        self.bundle = open_bundle()

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=WAIT_SECONDS)
    async def score(self, batch: list[PreparedImage]) -> list[dict[str, float]]:
        """Score a batch."""
        return score_batch(self.bundle, batch)


@serve.deployment(num_replicas=max(2, cores()), max_ongoing_requests=4 * BATCH, ray_actor_options=_LITTLE)
class Uploads:
    """What clients reach: decodes, and asks the detectors."""

    def __init__(self, detectors: serve.handle.DeploymentHandle) -> None:
        """Read the view plans once a process."""
        self.detectors = detectors
        self.plans = read_plans()

    async def __call__(self, request: Request) -> dict[str, float]:
        """Decode one image, and wait for its probability."""
        prepared = prepare_upload(await request.body(), self.plans)
        answer: dict[str, float] = await self.detectors.score.remote(prepared)
        return answer


if __name__ == "__main__":
    ray.init(num_cpus=max(2, cores()), include_dashboard=False, object_store_memory=512 * 1024 * 1024)
    serve.start(http_options={"host": "127.0.0.1", "port": read_port(), "request_timeout_s": TIMEOUT_SECONDS})
    serve.run(Uploads.bind(Detectors.bind()), route_prefix="/scan")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
