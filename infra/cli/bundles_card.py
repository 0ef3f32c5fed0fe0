"""A bundle's card as a few lines for people."""

from typing import Any

_LEADING = (
    "images",
    "auroc",
    "accuracy",
    "tpr_at_fpr_1pct",
    "ece_15",
    "ece_15_at_own_prior",
    "coverage",
    "wrongly_accused",
)


def as_text(card: dict[str, Any]) -> str:
    """Lay a card out for people: its words, the leading measures, certificate and weaknesses."""
    lines = [f"{key:<14}{card[key]}" for key in ("bundle", "title", "data", "scope") if card.get(key)]
    held_out, intervals = card.get("held_out", {}), card.get("intervals_95", {})
    for key in _LEADING:
        if isinstance(held_out.get(key), float | int):
            low_high = f"  [{intervals[key][0]:.4f}, {intervals[key][1]:.4f}]" if key in intervals else ""
            value = held_out[key]
            lines.append(f"  {key:<24}{value if isinstance(value, int) else format(value, '.4f')}{low_high}")
    certificate = card.get("certificate")
    if certificate:
        holds = "certified" if certificate["holds"] else "not certified"
        lines.append(
            f"certificate   budget {certificate['budget']:g} {holds}: at most {certificate['rate_at_most']:.4f} on "
            f"{certificate['negatives']} held-out negatives; {certificate['scope']}"
        )
    lines += [f"weakness      {said}" for said in card.get("known_weaknesses", ())]
    for found in card.get("evaluations", ()):
        overall = found["overall"]
        shown = "  ".join(f"{key} {overall[key]:.4f}" for key in ("accuracy", "auroc") if overall[key] is not None)
        lines.append(f"evaluated     {found['data']}: {overall['images']} images  {shown}")
    return "\n".join(lines) + "\n"
