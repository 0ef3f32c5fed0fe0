"""Policies: versions of the rules that turn probabilities into verdicts."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Identity, func, text
from sqlalchemy.orm import Mapped, mapped_column

from worker.database.tables.declaration import Base, Json, one_of
from worker.decisions.vocabulary import DeclaredOrigin


class Policy(Base):
    """A version of the rules that turn probabilities into verdicts; append-only."""

    __tablename__ = "policy"
    __table_args__ = (
        CheckConstraint("false_positive_budget > 0 AND false_positive_budget < 1", name="fp"),
        CheckConstraint("miss_budget > 0 AND miss_budget < 1", name="miss"),
        one_of("declared_origin", DeclaredOrigin),
    )

    version: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    prior_shift: Mapped[float]  # added to the calibrated logit
    false_positive_budget: Mapped[float]  # share of photographs that may be called AI-generated
    miss_budget: Mapped[float]  # share of AI-generated images that may be cleared
    # What becomes of a file that declares itself AI-generated.
    declared_origin: Mapped[str] = mapped_column(server_default=DeclaredOrigin.UNCERTAIN)
    actions: Mapped[Json] = mapped_column(server_default=text("'{}'"))  # case -> recommended action
    by_source: Mapped[Json]  # source -> {false_positive_budget, miss_budget, declared_origin, actions}
    created_by: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
