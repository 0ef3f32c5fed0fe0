"""Evidence through the whole of Assay: what a file says of itself, copies that cost nothing, heatmaps on request."""

import io
from urllib.parse import quote

import httpx2
import numpy as np
import pytest
from PIL import Image

from infra.demo_images import as_jpeg, photographs
from tests.support.assay_up import AssayUp, wait_until
from tests.support.provenance import make_authority
from worker.detectors.names import DetectorName

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(600)]


def ask(assay: AssayUp, path: str, method: str = "GET") -> httpx2.Response:
    return httpx2.request(method, assay.doors.api_url + path, headers={"X-API-Key": assay.doors.api_key}, timeout=30)


def texture(seed: int) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    return as_jpeg(Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC))


def test_what_a_signed_and_a_tagged_file_say_of_themselves_is_told(assay: AssayUp) -> None:
    authority = make_authority("Picture Maker Inc.")
    assay.put("evidence/signed.jpg", authority.sign(texture(1)))
    assay.put("evidence/tagged.jpg", texture(2) + b"Steps: 20, Sampler: Euler a, CFG scale: 7")
    assay.put("evidence/near.jpg", as_jpeg(Image.open(io.BytesIO(texture(2))).resize((300, 225))))
    assay.wait_ended(["evidence/signed.jpg", "evidence/tagged.jpg", "evidence/near.jpg"], 60)
    signed, tagged, near = (
        ask(assay, f"/v1/images/{quote(f'evidence/{name}.jpg', safe='')}").json()["verdict"]
        for name in ("signed", "tagged", "near")
    )
    assert near["decided_by"] == "machine", "what one file says does not spread to what looks alike"
    # Nobody vouches for this signer here, so it is a declaration like any other; the first policy lets those decide.
    assert {"state": "untrusted", "says": "ai_generated"}.items() <= signed["provenance"]["c2pa"].items()
    assert signed["provenance"]["c2pa"]["signer"] == "Picture Maker Inc., Assay Tests"
    assert tagged["provenance"]["tags"] == ["stable_diffusion_webui"]
    for verdict in (signed, tagged):
        assert (verdict["decided_by"], verdict["verdict"]) == ("declared", "ai_generated")
        assert (verdict["provenance"]["signed"], verdict["provenance"]["forgeable"]) == (False, True)


def test_frames_of_an_animation_are_judged_and_the_gravest_one_is_shown(assay: AssayUp) -> None:
    first, second = (Image.open(io.BytesIO(texture(seed))) for seed in (5, 6))
    body = io.BytesIO()
    first.save(body, "WEBP", save_all=True, append_images=[second], duration=500)
    assay.put("evidence/moving.webp", body.getvalue())
    assay.put("evidence/cut.jpg", texture(7)[:-300])
    assay.wait_ended(["evidence/moving.webp", "evidence/cut.jpg"], 120)
    path = f"/v1/images/{quote('evidence/moving.webp', safe='')}"
    frames = ask(assay, path).json()["verdict"]["frames"]
    assert (frames["count"], frames["judged"], frames["deciding"]["number"]) == (2, [0, 1], 0)
    assert frames["gravest"]["probability"] >= frames["deciding"]["probability"]
    shown = Image.open(io.BytesIO(httpx2.get(ask(assay, f"{path}/frame").headers["Location"], timeout=30).content))
    assert (shown.format, shown.size) == ("PNG", (320, 240))
    assert ask(assay, f"/v1/images/{quote('evidence/cut.jpg', safe='')}").json()["truncated"]


def test_the_same_image_put_forty_times_costs_one_forward_pass_and_its_copies_are_listed(assay: AssayUp) -> None:
    keys, body = [f"copies/{number}.jpg" for number in range(40)], texture(3)
    for key in keys:
        assay.put(key, body)
    ended = list(assay.wait_ended(keys, 400).values())
    assert {outcome.state for outcome in ended} == {"completed"}
    assert sum("detect" in (outcome.timings or {}) for outcome in ended) == 1
    assert len({(outcome.verdict, outcome.probability) for outcome in ended}) == 1
    near = ask(assay, f"/v1/images/{quote(ended[0].image_id, safe='')}/duplicates?limit=100").json()["items"]
    assert len(near) == 39
    assert {(one["distance"], one["same_bytes"]) for one in near} == {(0, True)}
    history = [ask(assay, f"/v1/images/{quote(outcome.image_id, safe='')}").json()["verdict"] for outcome in ended]
    assert sorted(verdict["decided_by"] for verdict in history) == ["duplicate"] * 39 + ["machine"]
    originals = {verdict["duplicate_of"] for verdict in history}
    [original] = originals - {None}
    assert ask(assay, f"/v1/verdicts/{original}").json()["decided_by"] == "machine"


def test_heatmaps_of_an_image_that_was_not_flagged_come_when_they_are_asked_for(assay: AssayUp) -> None:
    key = "evidence/photograph.jpg"
    assay.put(key, photographs()[0].data)
    assay.wait_ended([key], 60)
    path = f"/v1/images/{quote(key, safe='')}/heatmap"
    assert ask(assay, f"{path}?detector=clip").status_code == 404
    first = ask(assay, path, "POST")
    assert (first.status_code, first.json()["ready"]) == (202, False)
    wait_until(lambda: ask(assay, path, "POST").json()["ready"], 60, "the heatmaps")
    for detector in DetectorName:
        overlay, raw = (
            httpx2.get(ask(assay, f"{path}?detector={detector}&form={form}").headers["Location"], timeout=10)
            for form in ("overlay", "raw")
        )
        assert Image.open(io.BytesIO(overlay.content)).format == "PNG"
        values = np.load(io.BytesIO(raw.content), allow_pickle=False)
        assert (values.dtype, max(values.shape)) == (np.float32, 64)
    served = ask(assay, f"/v1/images/{quote(key, safe='')}").json()["verdict"]
    assert [heatmap["detector"] for heatmap in served["heatmaps"]] == sorted(DetectorName)
