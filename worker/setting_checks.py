"""Checks of single settings; a ValueError says what to write instead."""

from urllib.parse import urlsplit

from worker.person_role import PersonRole

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def check_address(address: str | None) -> str | None:
    """Return an http address, or nothing; what is wrong with it is never shown, for it may hold a password."""
    if not address:
        return address
    if not address.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://, such as http://127.0.0.1:9000")
    if "@" in address:
        raise ValueError("takes no user and password: ASSAY_S3_ACCESS_KEY_ID and ASSAY_S3_SECRET_ACCESS_KEY do")
    parts = urlsplit(address)
    try:
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise ValueError("must name a host, and a port by its number, such as http://127.0.0.1:9000")
    return address


def check_level(level: str) -> str:
    """Return a level of the log in capitals."""
    if level.upper() not in _LEVELS:
        raise ValueError(f"must be one of {', '.join(_LEVELS)}")
    return level.upper()


def check_issuer(issuer: str | None) -> str | None:
    """Return an issuer, or nothing; one that is not of this machine must speak TLS, for codes and keys come from it."""
    if not issuer:
        return None
    parts = urlsplit(issuer)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost"}):
        raise ValueError("must begin with https://, such as https://login.example.com/realms/staff")
    if not parts.hostname or parts.query or parts.fragment:
        raise ValueError("must name a host, and takes no query and no fragment")
    return issuer


def check_roles(roles: dict[str, str]) -> dict[str, str]:
    """Return what values of a claim mean."""
    if unknown := sorted(set(roles.values()) - set(PersonRole)):
        raise ValueError(f"knows no role {unknown[0]!r}; there are {', '.join(PersonRole)}")
    return roles
