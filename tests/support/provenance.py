"""A certificate authority for tests, and pictures signed with it by the C2PA's own library."""

import datetime as dt
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from c2pa import Builder, C2paSignerInfo, C2paSigningAlg, Context, Signer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
CREATED_BY_AI = {"action": "c2pa.created", "digitalSourceType": IPTC + "trainedAlgorithmicMedia"}
OPENED = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}


@dataclass(frozen=True)
class Authority:
    """A certificate authority and one signer that it vouches for; all PEM."""

    anchor: str
    chain: str
    key: str

    def sign(
        self,
        data: bytes,
        actions: Sequence[Mapping[str, Any]] = (CREATED_BY_AI,),
        *,
        mime: str = "image/jpeg",
        parent: bytes | None = None,
    ) -> bytes:
        """Return the picture with a signed manifest of these actions."""
        manifest = {
            "claim_generator_info": [{"name": "Picture Maker", "version": "1"}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": list(actions)}}],
        }
        info = C2paSignerInfo(C2paSigningAlg.ES256, self.chain.encode(), self.key.encode(), None)
        signed = io.BytesIO()
        plain = Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        with (
            plain as context,
            Signer.from_info(info) as signer,
            Builder(json.dumps(manifest), context=context) as builder,
        ):
            if parent is not None:
                ingredient = {"title": "before", "relationship": "parentOf", "label": "parent"}
                builder.add_ingredient(json.dumps(ingredient), mime, io.BytesIO(parent))
            builder.sign(signer, mime, io.BytesIO(data), signed)
        return signed.getvalue()


def make_authority(signer: str = "Picture Maker Inc.") -> Authority:
    """Make a root and a certificate below it as the C2PA demands them."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _name("Root")
    now = dt.datetime.now(dt.UTC)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_root: bool) -> x509.CertificateBuilder:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        usage |= {"decipher_only": False, "crl_sign": is_root}
        return (
            x509.CertificateBuilder(root_name, subject, public, x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(digital_signature=not is_root, key_cert_sign=is_root, **usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    root = certificate(root_name, root_key.public_key(), is_root=True).sign(root_key, hashes.SHA256())
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    leaf = certificate(_name(signer), key.public_key(), is_root=False).add_extension(usage, critical=False)
    pem = serialization.Encoding.PEM
    anchor = root.public_bytes(pem).decode()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return Authority(anchor, leaf.sign(root_key, hashes.SHA256()).public_bytes(pem).decode() + anchor, secret)


def _name(common: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Assay Tests")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])
