"""Part: what all parts of a card have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A part of a card: frozen; fields of other releases are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    def document(self) -> dict[str, Any]:
        """Return plain JSON values: what was given, and nothing else."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
