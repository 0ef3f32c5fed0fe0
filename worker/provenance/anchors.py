"""Trust anchors: the certificates of those whose C2PA signatures Assay believes."""

import re
from pathlib import Path

from worker.errors import AssayError

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")
_SUFFIXES = {".pem", ".crt", ".cer"}


class TrustAnchorsError(AssayError):
    """The trust anchors cannot be read: ASSAY_C2PA_TRUST_ANCHORS must name a PEM file, or a folder of them."""


def certificates_in(text: str) -> list[str]:
    """Return the PEM certificates in a text."""
    return _CERTIFICATE.findall(text)


def read_anchors(place: Path | None, fetched: Path | None = None) -> str:
    """Return the PEM certificates of a file, or of all PEM files in a folder; empty where there are none.

    Args:
        place: a file or folder of one's own.
        fetched: the folder of the trust lists that `assay trust update` fetched; it need not be there.

    Raises:
        TrustAnchorsError: there is no such place, or no certificate in it; whoever names one wants it heeded.
    """
    own = _read(place) if place is not None else []
    lists = _read(fetched) if fetched is not None and fetched.is_dir() and any(fetched.glob("*.pem")) else []
    together = dict.fromkeys([*own, *lists])
    return "\n".join(together) + "\n" if together else ""


def _read(place: Path) -> list[str]:
    try:
        files = sorted(file for file in place.iterdir() if file.suffix in _SUFFIXES) if place.is_dir() else [place]
        certificates = [pem for file in files for pem in certificates_in(file.read_text(encoding="utf-8"))]
    except (OSError, UnicodeDecodeError) as error:
        raise TrustAnchorsError(f"{place}: {error}; ASSAY_C2PA_TRUST_ANCHORS must name a PEM file or folder") from error
    if not certificates:
        raise TrustAnchorsError(f"{place} holds no PEM certificate; correct or unset ASSAY_C2PA_TRUST_ANCHORS")
    return certificates
