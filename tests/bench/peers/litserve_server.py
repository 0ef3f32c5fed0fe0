"""LitServe: one worker that scores in batches, and a pool of threads in `batch`, as its image example has it.

A batch is decoded by the worker that scores it, so decoding never runs beside a forward pass.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import litserve
from fastapi import Body
from peers.shared import (
    BATCH,
    TIMEOUT_SECONDS,
    WAIT_SECONDS,
    open_bundle,
    prepare_upload,
    read_port,
    score_batch,
)

from worker.bundles.loaded import PreparedImage
from worker.cores import cores


class Detectors(litserve.LitAPI):
    """The bundle behind one route."""

    def setup(self, device: Any) -> None:  # noqa: ARG002 - the bundle picks its device from settings
        """Open the bundle in the one worker."""
        self.bundle = open_bundle()
        self.pool = ThreadPoolExecutor(max(2, cores()))

    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> bytes:
        """Take the body as it is."""
        return request

    def batch(self, inputs: list[bytes]) -> list[PreparedImage]:
        """Decode a batch in threads."""
        return list(self.pool.map(lambda data: prepare_upload(data, self.bundle.plans), inputs))

    def predict(self, x: list[PreparedImage]) -> list[Any]:
        """Score a batch."""
        return list(score_batch(self.bundle, x))

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Give each request its answer."""
        return output

    def encode_response(self, output: Any) -> Any:
        """Leave the answer as it is; FastAPI writes JSON."""
        return output


if __name__ == "__main__":
    api = Detectors(max_batch_size=BATCH, batch_timeout=WAIT_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", timeout=TIMEOUT_SECONDS)
    server.run(host="127.0.0.1", port=read_port(), generate_client_file=False)
