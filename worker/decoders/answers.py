"""What a decoder process may answer: checked value by value, into memory whose size follows from the question alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field, FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveInt, TypeAdapter

from worker.decoders.look import Animation, FileFacts, FrameLook, Look
from worker.decoders.messages import Line
from worker.images.decode import PREVIEW_SIDE
from worker.images.sampling import MOST_FRAMES
from worker.images.views import COVARIATE_NAMES, PreparedImage, ViewPlan

_COVARIATES = len(COVARIATE_NAMES)
_PreviewSide = Annotated[int, Field(ge=1, le=PREVIEW_SIDE)]
_Covariates = Annotated[tuple[FiniteFloat, ...], Field(min_length=_COVARIATES, max_length=_COVARIATES)]
_Moment = Annotated[NonNegativeFloat, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class _Cut:
    covariates: _Covariates
    preview: tuple[_PreviewSide, _PreviewSide]


@dataclass(frozen=True)
class _Frame(_Cut):
    number: NonNegativeInt
    at_ms: _Moment


@dataclass(frozen=True)
class _Animation:
    count: PositiveInt
    number: NonNegativeInt
    at_ms: _Moment
    first_alone: bool
    others: Annotated[tuple[_Frame, ...], Field(max_length=MOST_FRAMES - 1)]


@dataclass(frozen=True)
class _Look(_Cut):
    size: tuple[PositiveInt, PositiveInt]
    pdq: Annotated[str, Field(pattern="^[01]{256}$")] | None
    truncated: bool
    animation: _Animation | None


_FACTS, _LOOK = TypeAdapter(FileFacts), TypeAdapter(_Look)


def receive_facts(answer: Mapping[str, Any], _line: Line) -> FileFacts:
    """Return what a process read of a file; raises ValueError where it answers what it never should."""
    return _FACTS.validate_python(answer["facts"])


def receive_look(answer: Mapping[str, Any], line: Line, plans: Mapping[str, ViewPlan]) -> Look:
    """Receive views and previews; raises as :func:`receive_facts`, and what the line raises."""
    look = _LOOK.validate_python(answer)
    prepared, preview = _receive_cut(look, look.size, line, plans)
    moving = look.animation
    animation = None if moving is None else _receive_animation(moving, look.size, line, plans)
    return Look(prepared, preview, look.pdq, look.truncated, animation)


def _receive_animation(
    animation: _Animation, size: tuple[int, int], line: Line, plans: Mapping[str, ViewPlan]
) -> Animation:
    others = tuple(FrameLook(one.number, one.at_ms, *_receive_cut(one, size, line, plans)) for one in animation.others)
    return Animation(animation.count, animation.number, animation.at_ms, others, animation.first_alone)


def _receive_cut(
    cut: _Cut, size: tuple[int, int], line: Line, plans: Mapping[str, ViewPlan]
) -> tuple[PreparedImage, Image.Image]:
    views = {name: np.empty(plan.shape, np.uint8) for name, plan in plans.items()}
    for view in views.values():
        line.receive_into(view.data.cast("B"))
    width, height = cut.preview
    preview = Image.frombytes("RGB", cut.preview, line.receive_bytes(width * height * 3))
    return PreparedImage(views, cut.covariates, size), preview
