"""Settings of the people that Assay deals with; part of :class:`~worker.settings.Settings`."""

from pydantic import Field, SecretStr, field_validator

from worker.person_role import PersonRole
from worker.setting_checks import check_issuer, check_roles
from worker.setting_sources import SettingsSources


class SignInSettings(SettingsSources):
    """The identity provider, how long a session lasts, and the key that hides who uploaded."""

    oidc_issuer: str | None = Field(
        default=None,
        description="Issuer of the OpenID Connect provider that people sign in to the console with, such as "
        "`https://login.example.com/realms/staff`; empty: keys alone.",
    )
    oidc_client_id: str = Field(default="assay", description="Client that Assay is registered as at that provider.")
    oidc_client_secret: SecretStr | None = Field(
        default=None, description="Secret of that client; empty for a public client, which PKCE protects alone."
    )
    oidc_scopes: str = Field(default="openid profile email", description="Scopes that are asked of that provider.")
    oidc_role_claim: str = Field(
        default="roles",
        description="Claim of the ID token that gives a person's role; dots lead into objects: `realm_access.roles`.",
    )
    oidc_roles: dict[str, str] = Field(
        default={role.value: role.value for role in PersonRole},
        description="What values of that claim mean, as a JSON object such as "
        '`{"trust-and-safety": "moderator"}`. Roles are `moderator`, `lead`, `engineer` and `auditor`; of several the '
        "one that may most counts.",
    )
    console_session_hours: float = Field(
        default=12.0, gt=0, le=720, description="A session of the console ends after so many hours, used or not."
    )

    actor_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Secret under which uploaders are kept as hashes; without it none may be named. Who changes it "
        "cuts what is known from what comes.",
    )

    _issuer = field_validator("oidc_issuer")(check_issuer)
    _roles = field_validator("oidc_roles")(check_roles)
