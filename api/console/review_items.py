"""What the review desk shows of one image, as its script reads it."""

from dataclasses import dataclass
from typing import Any

from api import parts
from api.console.crops import CropPlans
from api.console.pages import link
from api.console.standing import stands
from api.console.visitor import HOME
from api.console.wording import headline, known_as, moment, percent, size
from worker.database.duplicates import Near
from worker.database.review_orders import ReviewOrder
from worker.database.review_terms import DeskTerms, terms_for
from worker.database.served import ServedImage
from worker.decisions.appeal import AppealState
from worker.decisions.detector_order import has_vote, heaviest_first
from worker.decisions.near_hashes import MOST_DISTANCE
from worker.decisions.vocabulary import VerdictValue

_NEAR, _WORDS, _APPEALS = 12, 20, 10


@dataclass(frozen=True)
class DeskItems:
    """Makes what the desk shows of images out of what is known of them."""

    duplicates: parts.Duplicates
    policies: parts.Policies
    labels: parts.Labels
    appeals: parts.Appeals
    plans: CropPlans
    terms: dict[str, DeskTerms]

    def show(self, image_id: str, served: ServedImage, order: ReviewOrder) -> dict[str, Any]:
        """Return what is shown of an image that has a verdict.

        Images of the audit slice are shown without what machines say: whose word rates are measured by is its own.
        """
        image = served.image
        sides = f"{image.width} \N{MULTIPLICATION SIGN} {image.height}, " if image.width else ""
        near = self.duplicates.near(image_id, most_distance=MOST_DISTANCE, limit=_NEAR) or ()
        blind = order == ReviewOrder.AUDIT
        return {
            "image_pk": image.id,
            "image_id": image_id,
            "picture": _picture(image_id, image.id),
            "thumbnail": _thumbnail(image_id, image.id),
            "page": link(f"{HOME}/image", id=image_id),
            "alike": link(f"{HOME}/review/alike", id=image_id),
            "source": image.source,
            "size": sides + size(image.size_bytes),
            "width": image.width,
            "height": image.height,
            **(_UNSEEN if blind else self._evidence(served)),
            "words": self._words(image_id) if order == ReviewOrder.DISPUTED else [],
            "appeal": self._appeal(image_id) if order == ReviewOrder.APPEALS else None,
            "reasons": list(terms_for(self.terms, image.source).reasons),
            "near": [_alike(one) for one in near],
        }

    def _evidence(self, served: ServedImage) -> dict[str, Any]:
        verdict = served.verdict
        assert verdict is not None  # noqa: S101 - an image without a verdict is not offered
        detectors = verdict.detectors or {}
        maps = {one["detector"]: one for one in served.heatmaps}
        return {
            "verdict": headline(verdict.verdict),
            "flagged": bool(verdict.detectors) and verdict.verdict == VerdictValue.AI_GENERATED,
            "probability": percent(verdict.probability),
            "standing": stands(self.policies, verdict),
            "detectors": [
                [
                    known_as(name) + ("" if has_vote(detectors[name]) else ", no vote"),
                    percent(detectors[name]["probability"]),
                ]
                for name in heaviest_first(detectors, detectors)
            ],
            "crops": [
                {
                    "name": known_as(one.detector),
                    "words": one.words,
                    "at": link(
                        f"{HOME}/crops",
                        id=served.image.image_id,
                        bundle=verdict.bundle_version,
                        detector=one.detector,
                    ),
                }
                for one in self.plans.of(served.image, verdict)
            ],
            "heatmaps": [
                {
                    "name": known_as(name),
                    "at": link(f"{HOME}/heatmap", id=served.image.image_id, detector=name),
                }
                for name in heaviest_first(maps, detectors)
            ],
        }

    def _words(self, image_id: str) -> list[list[str]]:
        """Return what people have said, newest first: who, what, why."""
        labels = self.labels.of(image_id, limit=_WORDS) or ()
        return [[label.reviewer, headline(label.label), label.reason] for label in labels]

    def _appeal(self, image_id: str) -> dict[str, Any] | None:
        cases = self.appeals.of(image_id, limit=_APPEALS) or ()
        case = next((one for one in cases if one.appeal.state == AppealState.OPEN), None)
        if case is None:
            return None
        due = f"{moment(case.appeal.due_at)} UTC"
        return {
            "id": case.appeal.id,
            "reason": case.appeal.reason,
            "due": due,
            "against": headline(case.verdict.verdict),
        }


_UNSEEN = {
    "verdict": "",
    "flagged": False,
    "probability": "",
    "standing": "Part of the audit slice: judge it by your own eyes. What the detectors say is shown on its page.",
    "detectors": [],
    "crops": [],
    "heatmaps": [],
}


def _alike(one: Near) -> dict[str, str]:
    image_id, image_pk = one.image.image_id, one.image.id
    return {
        "image_id": image_id,
        "picture": _picture(image_id, image_pk),
        "thumbnail": _thumbnail(image_id, image_pk),
        "distance": "same file" if one.same_bytes else f"{one.distance} of 256 bits apart",
    }


def _picture(image_id: str, image_pk: int) -> str:
    return link(f"{HOME}/picture", id=image_id, row=image_pk)


def _thumbnail(image_id: str, image_pk: int) -> str:
    return link(f"{HOME}/thumbnail", id=image_id, row=image_pk)
