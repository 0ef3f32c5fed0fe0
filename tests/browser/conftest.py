"""The console in a real browser, on the whole of Assay with images in it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import func, select, update

from infra.cli.environment import child_environment
from infra.debian import command, find
from infra.demo_images import ai_pictures, photographs
from tests.support.assay_up import AssayUp
from tests.support.identity_provider import CLIENT, SECRET
from tests.support.provider_process import identity_provider
from worker.database.api_keys import ApiKeys, Scope
from worker.database.appeals import Appeals
from worker.database.audit import Actor
from worker.database.bundles import SHIPPED, register_bundle
from worker.database.drift import DriftMeasures
from worker.database.images import NewImage, insert_image_and_scan
from worker.database.policies import Policies
from worker.database.tables import Bundle, RunState, Scan, ScanState, TrainingRun
from worker.database.training_runs import announce
from worker.database.webhook_endpoints import Event, WebhookEndpoints
from worker.decisions.policy import PolicyTerms

ANNA = Actor("anna")
# One core is shared with the worker.
expect.set_options(timeout=20_000)


@dataclass(frozen=True)
class Console:
    """A running Assay that has seen images.

    Attributes:
        up: the stack.
        url: of the console.
        admin, reader, reviewer: keys.
        flagged: image id of a picture that the policy calls AI-generated.
        unflagged: image id of a picture that has a verdict and no heatmaps, and a twin of the same bytes.
        dead: image id whose scan is dead.
        challenger: version of a bundle that does not serve.
        finished_run: id of a training run with a report.
    """

    up: AssayUp
    url: str
    admin: str
    reader: str
    reviewer: str
    flagged: str
    unflagged: str
    dead: str
    challenger: str
    finished_run: int


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is; without one, nothing is run, and in CI that is a failure."""
    found = find("chromium")
    if found is None:
        reason = f"no browser; as root: {command('chromium')}"
        if child_environment().get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


# Of this folder, not of the session: Playwright keeps an event loop running in this thread until it is stopped, and
# with one running no other test may call asyncio.run.
@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root; what it shows here is ours alone.
        launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def console(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    assert chromium  # nothing is started for nobody
    with identity_provider() as issuer:
        settings = {"ASSAY_OIDC_ISSUER": issuer, "ASSAY_OIDC_CLIENT_ID": CLIENT, "ASSAY_OIDC_CLIENT_SECRET": SECRET}
        with AssayUp(tmp_path_factory.mktemp("console"), **settings) as up:
            yield filled(up)


def filled(up: AssayUp) -> Console:
    """Bring images, keys, bundles, runs and webhooks in."""
    keys = ApiKeys(up.database)
    reader, reviewer = (
        keys.create("platform", [Scope.READ]).key,
        keys.create("moderator", [Scope.READ, Scope.REVIEW]).key,
    )
    # Nearly every photograph may be called AI-generated: what the weights say does not matter here, heatmaps do.
    eager = PolicyTerms(0.0, 0.01, 0.05, {"uploads/eager": {"false_positive_budget": 0.98}})
    Policies(up.database).add(ANNA, eager)
    pictures = {f"eager/{image.name}": image.data for image in [*photographs()[:5], *ai_pictures(2, 256)]}
    pictures |= {f"feed/{image.name}": image.data for image in photographs()[5:]}
    pictures["feed/twin.jpg"] = photographs()[5].data
    pictures["feed/torn.jpg"] = photographs()[0].data[:20_000]
    for key, data in pictures.items():
        up.put(key, data)
    ended = up.wait_ended(pictures.keys(), 120)
    flagged = next(outcome for outcome in ended.values() if outcome.verdict == "ai_generated" and outcome.heatmaps)
    unflagged = f"feed/{photographs()[5].name}"
    assert not ended[unflagged].heatmaps
    DriftMeasures(up.database).measure()
    challenger, run = _shipped_bundle(up), _finished_run(up)
    endpoints = WebhookEndpoints(up.database)
    endpoints.add(ANNA, "https://platform.example/assay", [Event.VERDICT_CREATED], "the platform's own")
    for number, image in enumerate(photographs()[1:3]):
        Appeals(up.database).add(ANNA, f"eager/{image.name}", reason="I took it on the pier.", contact=f"user-{number}")
    url = f"{up.doors.api_url}/console"
    return Console(up, url, up.doors.api_key, reader, reviewer, flagged.image_id, unflagged, _dead(up), challenger, run)


def _dead(up: AssayUp) -> str:
    """Write down an image whose scan failed to the last attempt."""
    key = "feed/lost in transit.jpg"
    image = NewImage(key, "uploads/feed", up.addresses.upload_bucket, key, "v1", versioned=True, size_bytes=None)
    failed = {"state": ScanState.DEAD, "reason": "attempts_exhausted", "detail": "The object store does not answer."}
    with up.database.transaction() as session:
        _, scan_id, _ = insert_image_and_scan(session, image)
        values = {**failed, "attempts": 5, "due_at": None, "finished_at": func.now()}
        session.execute(update(Scan).where(Scan.id == scan_id).values(**values))
    return key


def _shipped_bundle(up: AssayUp) -> str:
    """Register the other bundle of this release."""
    card = json.loads(Path("worker/bundles/shipped/cifake/card.json").read_text(encoding="utf-8"))
    with up.database.transaction() as session:
        version = str(card["bundle"])
        register_bundle(session, version=version, name="cifake", location=f"{SHIPPED}cifake", card=card)
    return version


def _finished_run(up: AssayUp) -> int:
    """Write down a run as a training worker leaves it: what it told, and the gate's report."""
    with up.database.transaction() as session:
        now = session.scalar(select(func.now()))
        champion = session.scalars(select(Bundle.version).where(Bundle.role == "champion")).one()
        run = TrainingRun(
            recipe="wild",
            parameters={"minutes": 30.0, "changes": ["fit.epochs=3"]},
            state=RunState.COMPLETED,
            report=_gate_report(champion),
            requested_by="anna",
            started_at=now,
            finished_at=now,
            detail="the gate stopped it",
        )
        session.add(run)
        session.flush()
        for detector in ("convnext", "clip"):
            for step in range(60):
                event = {"stage": "fit", "detector": detector, "step": 20 * step, "loss": 0.15 + 0.55 * 0.95**step}
                announce(session, run.id, "progress", event)
        return run.id


def _gate_report(champion: str) -> dict[str, object]:
    def measured(better: float) -> dict[str, object]:
        counts = {"tn": 261, "fp": 59, "fn": 97, "tp": 183}
        shares = {"accuracy": 0.74 + better, "tpr_at_fpr_1pct": 0.11 + better, "recall": 0.65 + better}
        return {"images": 600, "auroc": 0.8 + better, "brier": 0.18, "ece_15": 0.06, "confusion": counts, **shares}

    rule = {"difference": 0.02, "interval_95": [-0.03, 0.07], "images": 240}
    rules = [
        {"name": "finds more of the new at 1 % false positives", "champion": 0.11, "challenger": 0.13, "passed": False}
        | rule
        | {"why": "the improvement's lower bound is -3.0 points; it must be above zero"},
        {"name": "keeps what is known", "champion": 0.74, "challenger": 0.76, "passed": True}
        | rule
        | {"why": "the loss is at most 0.4 points; 1 are tolerated"},
    ]
    rates = [share / 20 for share in range(21)]
    curves = {
        "roc": {"false_positive_rate": rates, "true_positive_rate": [rate**0.4 for rate in rates]},
        "precision_recall": {"recall": rates, "precision": [1 - 0.5 * rate**2 for rate in rates]},
        "reliability": [{"mean_probability": rate, "ai_generated_share": rate**1.2, "images": 30} for rate in rates],
        "histogram": {"edges": rates, "not_ai_generated": list(range(20, 0, -1)), "ai_generated": list(range(20))},
    }
    measures = {"all": {"champion": measured(0.0), "challenger": measured(0.02)}}
    report = {"passed": False, "champion": champion, "challenger": "wild-000000000000", "rules": rules}
    return {**report, "not_judged": [{"name": "generator GPT-4o", "images": 7}], "measures": measures, "curves": curves}


@dataclass
class Watched:
    """A page and everything that its console complained of."""

    page: Page
    console: Console
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen."""
        self.page.on("console", lambda line: self.complaints.append(line.text) if line.type in _WORTH else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, path: str) -> Page:
        """Go to a page of the console."""
        self.page.goto(self.console.url + path)
        return self.page

    def sign_in(self, key: str) -> Page:
        """Sign in as people do."""
        page = self.open("/sign-in")
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("heading", name="Feed", level=1)).to_be_visible()
        return page


_WORTH = frozenset({"error", "warning"})


@pytest.fixture
def contexts(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes contexts, each a browser of its own with its own cookies."""
    made: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        made.append(browser.new_context(**options))  # type: ignore[arg-type] # Playwright's own options
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def visitor(contexts: Callable[..., BrowserContext], console: Console) -> Iterator[Watched]:
    """Somebody with a browser, not signed in; no page may complain, whatever the test does."""
    watched = Watched(contexts(viewport={"width": 1280, "height": 900}).new_page(), console)
    yield watched
    assert watched.complaints == []


@pytest.fixture
def admin(visitor: Watched) -> Page:
    """The page of somebody who may do everything."""
    return visitor.sign_in(visitor.console.admin)
