"""The learning loop, as a platform goes through it.

A generator that the champion misses is labelled, a run trains on the labels, the gate and a shadow let its bundle
through, and the same images are judged right; lies are stopped.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from api.client import Assay, LabelValue, Problem
from tests.learning_pictures import picture, write_base
from tests.support.assay_up import AssayUp, process_environment, wait_until
from training.train import order_of, train

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

SETTINGS = {
    "ASSAY_DEVICE": "cpu",
    "ASSAY_TORCH_THREADS": "1",
    "ASSAY_TRAINING_THREADS": "1",
    "ASSAY_AUDIT_SHARE": "0",
    "ASSAY_SHADOW_MIN_IMAGES": "20",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recipe's data, and below `run/bundle` the champion that was trained on it."""
    folder = tmp_path_factory.mktemp("learning")
    write_base(folder, 1600)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(order_of(str(folder / "tiny.toml"), str(folder), folder / "run", device="cpu"))
    torch.set_num_threads(threads)
    return folder


@pytest.fixture(scope="module")
def up(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AssayUp]:
    places = {"ASSAY_TRAINING_DATA": str(base), "ASSAY_TRAINING_RECIPES": str(base)}
    with AssayUp(tmp_path_factory.mktemp("assay-learning"), **SETTINGS, **places) as running:
        yield running


@pytest.fixture(scope="module")
def client(up: AssayUp) -> Iterator[Assay]:
    with Assay(up.doors.api_url, up.doors.api_key, timeout=60) as client:
        # Two people behind one backend: unregistered, their labels were one word, and two are asked for.
        for name in ("maria", "ali"):
            client.register_reviewer(name)
        yield client


@pytest.fixture(scope="module")
def champion(base: Path, up: AssayUp, client: Assay) -> str:
    """The version of the tiny champion, which serves from now on."""
    command = [sys.executable, "-m", "infra.cli", "bundles", "import", str(base / "run" / "bundle")]
    subprocess.run(command, env=process_environment(up.data_dir), check=True, capture_output=True)
    version = str(json.loads((base / "run" / "bundle" / "card.json").read_text())["bundle"])
    client.promote(version, "the tests' own", force=True)
    up.wait_loaded(version, 120)
    # Few images certify little.
    client.add_policy(false_positive_budget=0.05, miss_budget=0.05)
    return version


def put(up: AssayUp, kind: str, seeds: range) -> list[str]:
    """Upload pictures and wait for their verdicts; return their image ids."""
    ids = [f"{kind}/{seed}.png" for seed in seeds]
    for seed, image_id in zip(seeds, ids, strict=True):
        up.put(image_id, picture(kind, seed))
    up.wait_ended(ids, 180)
    return ids


def label(client: Assay, ids: list[str], value: LabelValue) -> None:
    for image_id in ids:
        for reviewer in ("maria", "ali"):
            client.label(image_id, value, "seen", reviewer)


def trained(client: Assay, version: str) -> Any:
    """Ask for a run and wait for its end."""
    run = client.train("tiny", base_bundle=version, shadow_share=1.0)
    stages = [event["data"]["stage"] for event in client.watch_training(run["id"], 0.5) if event["kind"] == "stage"]
    ended = client.training_run(run["id"])
    assert ended["state"] == "completed", ended["detail"]
    assert stages == ["data", "fit", "gate", "keep"]
    return ended


def served(client: Assay, ids: list[str]) -> set[tuple[str, str | None]]:
    verdicts = [client.image(image_id)["verdict"] for image_id in ids]
    return {(verdict["verdict"], verdict["bundle_version"]) for verdict in verdicts if verdict}


def rescanned(up: AssayUp, client: Assay, ids: list[str]) -> None:
    """Scan images again by the champion, and wait."""
    client.rescan(ids)

    def done() -> bool:
        queued = client.stats()["scans"]
        return not any(queued.get(state, 0) for state in ("queued", "dispatched", "leased"))

    wait_until(done, 120, "the rescans")
    assert up.outcomes(ids)


def test_from_labels_to_a_better_bundle_and_back(up: AssayUp, client: Assay, champion: str) -> None:
    # A new generator, which the champion takes for photographs; reviewers see it.
    labelled = put(up, "haze", range(160))
    assert ("ai_generated", champion) not in served(client, labelled)
    label(client, labelled, "ai_generated")
    label(client, put(up, "noise", range(5000, 5060)), "not_ai_generated")

    # A run trains on the labels; the gate passes its bundle, which scans in shadow at once.
    run = trained(client, champion)
    made, report = run["bundle_version"], client.training_report(run["id"])
    assert run["gate_passed"], [rule for rule in report["rules"] if not rule["passed"]]
    assert (report["champion"], report["challenger"]) == (champion, made)
    assert client.bundle(made)["role"] == "challenger"
    with pytest.raises(Problem, match="images in shadow"):
        client.promote(made, "too early")

    # Live traffic: the shadow's verdicts are told and not served.
    haze, noise = put(up, "haze", range(1000, 1015)), put(up, "noise", range(6000, 6010))
    stripes = put(up, "stripes", range(7000, 7005))
    wait_until(lambda: client.shadow(made)["images"] >= 30, 120, "the shadow's scans")
    assert ("ai_generated", champion) not in served(client, haze)
    assert {flip["image_id"] for flip in client.flips(made)} >= set(haze)

    # Promoted: the same images are judged right, the old ones as before, and history shows both bundles.
    client.promote(made, "finds the new generator")
    up.wait_loaded(made, 120)
    rescanned(up, client, [*haze, *noise, *stripes])
    assert served(client, haze) == {("ai_generated", made)}
    assert served(client, stripes) == {("ai_generated", made)}
    assert "ai_generated" not in {verdict for verdict, _ in served(client, noise)}
    assert {past["bundle_version"] for past in client.history(haze[0])} == {champion, made}

    # Lies: known pictures with their labels flipped. The gate stops what they taught, and so does promotion.
    label(client, put(up, "stripes", range(120)), "not_ai_generated")
    label(client, put(up, "noise", range(120)), "ai_generated")
    poisoned = trained(client, made)
    assert poisoned["gate_passed"] is False
    assert poisoned["detail"].startswith("the gate stopped it: ")
    with pytest.raises(Problem, match="the gate stopped it"):
        client.promote(poisoned["bundle_version"], "try it")

    # Rolled back: new scans are the former bundle's again.
    client.roll_back("a drill")
    up.wait_loaded(champion, 120)
    assert {bundle for _, bundle in served(client, put(up, "haze", range(2000, 2003)))} == {champion}
