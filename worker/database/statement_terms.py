"""A platform's decision on an image, in the terms of the DSA transparency database. Pure.

Terms are those of schema 2 of the database's API (https://transparency.dsa.ec.europa.eu/page/api-documentation), in
force since July 2025. Assay sends nothing there: the platform does, under its own token.
"""

from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

SCHEMA_VERSION: Final = "2"

Short = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Long = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Address = Annotated[str, StringConstraints(pattern=r"^https?://", max_length=500)]


class Visibility(StrEnum):
    """How visibility is restricted."""

    REMOVED = "DECISION_VISIBILITY_CONTENT_REMOVED"
    DISABLED = "DECISION_VISIBILITY_CONTENT_DISABLED"
    DEMOTED = "DECISION_VISIBILITY_CONTENT_DEMOTED"
    AGE_RESTRICTED = "DECISION_VISIBILITY_CONTENT_AGE_RESTRICTED"
    INTERACTION_RESTRICTED = "DECISION_VISIBILITY_CONTENT_INTERACTION_RESTRICTED"
    CONTENT_LABEL = "DECISION_VISIBILITY_CONTENT_LABELLED"
    OTHER = "DECISION_VISIBILITY_OTHER"


class Monetary(StrEnum):
    """How payments are restricted."""

    SUSPENSION = "DECISION_MONETARY_SUSPENSION"
    TERMINATION = "DECISION_MONETARY_TERMINATION"
    OTHER = "DECISION_MONETARY_OTHER"


class Provision(StrEnum):
    """How the service is restricted."""

    PARTIAL_SUSPENSION = "DECISION_PROVISION_PARTIAL_SUSPENSION"
    TOTAL_SUSPENSION = "DECISION_PROVISION_TOTAL_SUSPENSION"
    PARTIAL_TERMINATION = "DECISION_PROVISION_PARTIAL_TERMINATION"
    TOTAL_TERMINATION = "DECISION_PROVISION_TOTAL_TERMINATION"


class Account(StrEnum):
    """How the account is restricted."""

    SUSPENDED = "DECISION_ACCOUNT_SUSPENDED"
    TERMINATED = "DECISION_ACCOUNT_TERMINATED"


class Ground(StrEnum):
    """What the decision stands on."""

    ILLEGAL = "DECISION_GROUND_ILLEGAL_CONTENT"
    INCOMPATIBLE = "DECISION_GROUND_INCOMPATIBLE_CONTENT"


class Category(StrEnum):
    """What kind of violation it is."""

    ANIMAL_WELFARE = "STATEMENT_CATEGORY_ANIMAL_WELFARE"
    CONSUMER_INFORMATION = "STATEMENT_CATEGORY_CONSUMER_INFORMATION"
    CYBER_VIOLENCE = "STATEMENT_CATEGORY_CYBER_VIOLENCE"
    CYBER_VIOLENCE_AGAINST_WOMEN = "STATEMENT_CATEGORY_CYBER_VIOLENCE_AGAINST_WOMEN"
    DATA_PROTECTION = "STATEMENT_CATEGORY_DATA_PROTECTION_AND_PRIVACY_VIOLATIONS"
    SPEECH = "STATEMENT_CATEGORY_ILLEGAL_OR_HARMFUL_SPEECH"
    INTELLECTUAL_PROPERTY = "STATEMENT_CATEGORY_INTELLECTUAL_PROPERTY_INFRINGEMENTS"
    ELECTIONS = "STATEMENT_CATEGORY_NEGATIVE_EFFECTS_ON_CIVIC_DISCOURSE_OR_ELECTIONS"
    NOT_SPECIFIED = "STATEMENT_CATEGORY_NOT_SPECIFIED_NOTICE"
    OTHER_TERMS = "STATEMENT_CATEGORY_OTHER_VIOLATION_TC"
    MINORS = "STATEMENT_CATEGORY_PROTECTION_OF_MINORS"
    PUBLIC_SECURITY = "STATEMENT_CATEGORY_RISK_FOR_PUBLIC_SECURITY"
    SCAMS = "STATEMENT_CATEGORY_SCAMS_AND_FRAUD"
    SELF_HARM = "STATEMENT_CATEGORY_SELF_HARM"
    PRODUCTS = "STATEMENT_CATEGORY_UNSAFE_AND_PROHIBITED_PRODUCTS"
    VIOLENCE = "STATEMENT_CATEGORY_VIOLENCE"


class SourceType(StrEnum):
    """How the platform came upon the image."""

    NOTICE = "SOURCE_ARTICLE_16"
    TRUSTED_FLAGGER = "SOURCE_TRUSTED_FLAGGER"
    OTHER_NOTIFICATION = "SOURCE_TYPE_OTHER_NOTIFICATION"
    VOLUNTARY = "SOURCE_VOLUNTARY"


class YesNo(StrEnum):
    """The database's yes and no."""

    YES = "Yes"
    NO = "No"


_COUNTRY = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
_LANGUAGE = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class DecisionTerms(BaseModel):
    """What the platform decided; name no person in any text. Terms that are missing are asked for by the statement."""

    model_config = ConfigDict(extra="forbid")

    decision_visibility: Annotated[list[Visibility], Field(max_length=7)] = Field(default_factory=list)
    decision_visibility_other: Short | None = None
    decision_monetary: Monetary | None = None
    decision_monetary_other: Short | None = None
    decision_provision: Provision | None = None
    decision_account: Account | None = None
    end_date_visibility_restriction: date | None = None
    end_date_monetary_restriction: date | None = None
    end_date_service_restriction: date | None = None
    end_date_account_restriction: date | None = None
    decision_ground: Ground | None = None
    decision_ground_reference_url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=500)] | None = (
        None
    )
    illegal_content_legal_ground: Short | None = None
    illegal_content_explanation: Long | None = None
    incompatible_content_ground: Short | None = None
    incompatible_content_explanation: Long | None = None
    incompatible_content_illegal: YesNo | None = None
    category: Category | None = None
    territorial_scope: Annotated[list[_COUNTRY], Field(max_length=40)] = Field(default_factory=list)
    content_language: _LANGUAGE | None = None
    content_date: Annotated[date | None, Field(description="When the image was posted.")] = None
    application_date: Annotated[date | None, Field(description="From when the restriction applies.")] = None
    source_type: SourceType | None = None
    reviewed_by_person: Annotated[
        bool, Field(description="Somebody of the platform looked before this was decided.")
    ] = False

    def plain_values(self) -> dict[str, Any]:
        """Return the database's terms that the platform gave, as plain values."""
        values = self.model_dump(mode="json", exclude={"reviewed_by_person"})
        return {name: value for name, value in values.items() if value not in (None, [])}


_RESTRICTIONS = ("decision_visibility", "decision_monetary", "decision_provision", "decision_account")
_ALWAYS = ("decision_ground", "category", "content_date", "application_date", "source_type")
_BY_GROUND = {
    Ground.ILLEGAL: ("illegal_content_legal_ground", "illegal_content_explanation"),
    Ground.INCOMPATIBLE: ("incompatible_content_ground", "incompatible_content_explanation"),
}


def missing_terms(terms: DecisionTerms) -> list[str]:
    """Return the names of the terms without which the database takes no statement, in its order."""
    values = terms.plain_values()
    missing = [] if any(name in values for name in _RESTRICTIONS) else ["decision_visibility"]
    for name, other in (("decision_visibility", Visibility.OTHER), ("decision_monetary", Monetary.OTHER)):
        if other in values.get(name, ()) and f"{name}_other" not in values:
            missing.append(f"{name}_other")
    needed = [*_ALWAYS, *(_BY_GROUND[terms.decision_ground] if terms.decision_ground else ())]
    return [*missing, *(name for name in needed if name not in values)]
