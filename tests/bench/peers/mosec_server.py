"""mosec: a stage of decoder processes before one process that scores in batches, as its multi-stage example has it.

A stage gets its input pickled over a socket. A request lives in memory alone.
"""

from typing import Any

from mosec import Server, Worker
from peers.shared import (
    BATCH,
    TIMEOUT_SECONDS,
    WAIT_SECONDS,
    open_bundle,
    prepare_upload,
    read_plans,
    score_batch,
)

from worker.bundles.loaded import PreparedImage
from worker.cores import cores


class Decoder(Worker):
    """The first stage: bytes to views."""

    def __init__(self) -> None:
        """Read the view plans once a process."""
        super().__init__()
        self.plans = read_plans()

    def deserialize(self, data: bytes) -> bytes:
        """Take the body as it is; mosec would read JSON."""
        return data

    def forward(self, data: bytes) -> PreparedImage:
        """Decode one image."""
        return prepare_upload(data, self.plans)


class Detectors(Worker):
    """The last stage: views to probabilities; mosec writes them as JSON."""

    def __init__(self) -> None:
        """Open the bundle in the one process of this stage."""
        super().__init__()
        self.bundle = open_bundle()

    def forward(self, data: list[PreparedImage]) -> list[Any]:
        """Score a batch."""
        return list(score_batch(self.bundle, data))


if __name__ == "__main__":
    server = Server()  # reads --port and --address itself
    server.append_worker(Decoder, num=max(2, cores()), timeout=TIMEOUT_SECONDS)
    server.append_worker(
        Detectors, max_batch_size=BATCH, max_wait_time=round(WAIT_SECONDS * 1000), timeout=TIMEOUT_SECONDS
    )
    server.run()
