"""Pretrained weights as safetensors files alone, from this machine or through timm's and open_clip's own loaders."""

from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import download_pretrained_from_hf
from safetensors import SafetensorError, safe_open
from timm.models import get_pretrained_cfg

TIMM_FILE = "model.safetensors"
_OPEN_CLIP_PICKLE, _OPEN_CLIP_FILE = "open_clip_pytorch_model.bin", "open_clip_model.safetensors"


def check_weights_file(file: str) -> str:
    """Give the path of a weights file back once its name and its content are those of a safetensors file.

    Raises:
        ValueError: one of them is not.
    """
    if not file.endswith(".safetensors"):
        raise ValueError(f"{Path(file).name}: weights must be safetensors and be named so, others may run code")
    try:
        with safe_open(file, framework="pt"):
            return file
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{Path(file).name}: weights must be safetensors, others may run code ({error})") from error


def timm_overlay(model: str) -> dict[str, Any]:
    """Give the overlay by which timm fetches its own weights for a model as safetensors, and looks for nothing else.

    Raises:
        ValueError: timm has them as a pickle alone.
    """
    published = get_pretrained_cfg(model) if ":" not in model and "/" not in model else None
    if published is not None and not published.hf_hub_id:
        raise ValueError("timm has its weights as a pickle alone, and pickles may run code")
    theirs = published.hf_hub_filename if published is not None else None
    return {"hf_hub_filename": _OPEN_CLIP_FILE if theirs == _OPEN_CLIP_PICKLE else TIMM_FILE}


def open_clip_tag(model: str, tag: str) -> tuple[str, dict[str, Any]]:
    """Fetch the weights of an open_clip model's tag: the file, and what open_clip knows of the tag.

    Raises:
        ValueError: open_clip knows no such tag, or has its weights as a pickle alone.
    """
    published = open_clip.get_pretrained_cfg(model, tag)
    if not published:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none, nor the model"
        raise ValueError(f"open_clip knows no tag {tag!r} of {model!r}; it knows {tags}")
    return check_weights_file(open_clip.download_pretrained(published)), published


def check_hub_weights(hub_id: str) -> None:
    """Fetch the weights that open_clip would take from a hub.

    Raises:
        ValueError: they are a pickle.
    """
    check_weights_file(download_pretrained_from_hf(hub_id))
