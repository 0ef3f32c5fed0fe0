"""What C2PA's status codes mean: those that say we cannot vouch for a signer, and those that say the file was changed.

Codes: C2PA specification 2.2, section 15.2.2, and the identity assertions of the CAWG.
"""

import re
from collections.abc import Iterable

# Nothing here says that picture or manifest were changed; whoever signed is merely not vouched for.
_CANNOT_VOUCH = {
    "signingCredential.untrusted": "nobody whom we trust vouches for the signer",
    "signingCredential.expired": "the signer's certificate has run out, and no trusted time-stamp says that it was "
    "good when it signed",
    "signingCredential.invalid": "the signer's certificate is not of the form that the C2PA demands",
    "signingCredential.revoked": "the signer's certificate was revoked",
    "signingCredential.ocsp.revoked": "the signer's certificate was revoked",
    "signingCredential.ocsp.unknown": "the signer's authority does not know the certificate",
    "signingCredential.ocsp.inaccessible": "whether the certificate was revoked cannot be asked",
    "claimSignature.outsideValidity": "it was signed when the certificate was not good",
    "timeStamp.untrusted": "nobody whom we trust vouches for the time of signing",
    "timeStamp.outsideValidity": "the time-stamp's certificate was not good at that time",
    "timeStamp.malformed": "the time-stamp cannot be read",
    "timeStamp.mismatch": "the time-stamp belongs to another signature",
    "assertion.action.malformed": "its list of actions is not of the form that the C2PA demands today",
    "algorithm.deprecated": "it is signed in a way that is out of date",
}
# Identities that a network would confirm.
_IDENTITY = re.compile(r"^(?:cawg\.|assertion\.(?:externalReference|cloud-data|metadata)\b)")
_TAMPERED = {
    "assertion.dataHash.mismatch": "the picture was changed since it was signed",
    "assertion.bmffHash.mismatch": "the picture was changed since it was signed",
    "assertion.boxesHash.mismatch": "the picture was changed since it was signed",
    "assertion.collectionHash.mismatch": "the picture was changed since it was signed",
    "assertion.hashedURI.mismatch": "a statement was changed since it was signed",
    "hashedURI.mismatch": "a statement was changed since it was signed",
    "ingredient.hashedURI.mismatch": "an ingredient was changed since it was signed",
    "assertion.missing": "a statement was taken out",
    "claimSignature.mismatch": "the signature belongs to something else",
    "claimSignature.missing": "the signature was taken out",
}


def says_tampered(codes: Iterable[str]) -> bool:
    """Tell whether any of these codes says that something was changed, or cannot be read."""
    return any(code not in _CANNOT_VOUCH and not _IDENTITY.match(code) for code in codes)


def in_words(code: str) -> str:
    """Return what a code means in plain words, with the code behind it."""
    identity = "an identity cannot be confirmed without a network" if _IDENTITY.match(code) else None
    words = _TAMPERED.get(code) or _CANNOT_VOUCH.get(code) or identity
    return f"{words} ({code})" if words else code
