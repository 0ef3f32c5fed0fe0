"""TLS before a plain server: an authority of the test's own, and a front that decrypts and passes on."""

import ipaddress
import select
import socket
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_POSTGRES_ASKS = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # "SSLRequest" of Postgres' protocol
_CHUNK = 65536


class Authority:
    """Issues certificates for this machine."""

    def __init__(self, folder: Path, name: str) -> None:
        """Make the authority; `path` names its certificate."""
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        built = _certificate(self._subject, self._subject, self._key.public_key())
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._certificate = built.add_extension(usage, critical=True).sign(self._key, hashes.SHA256())
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, *, host: str | None = None) -> ssl.SSLContext:
        """Return a server's context with a certificate for 127.0.0.1 and localhost, or for another host alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue_file(host=host))
        return context

    def issue_file(self, *, host: str | None = None) -> Path:
        """Return a file with such a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        names = x509.SubjectAlternativeName([x509.DNSName(host)] if host else here)
        built = _certificate(_name(host or "localhost"), self._subject, key.public_key())
        signed = built.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        file = self._folder / f"{signed.serial_number}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(signed.public_bytes(Encoding.PEM) + private)
        return file


@contextmanager
def tls_front(target: tuple[str, int], context: ssl.SSLContext, *, postgres: bool = False) -> Iterator[int]:
    """Listen on the loopback address with TLS, and pass what comes on to a plain server; yield the port.

    Args:
        target: host and port of the server.
        context: of the certificate that is shown.
        postgres: clients ask for TLS first, as Postgres' do.
    """
    going: set[socket.socket] = set()

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if postgres:
                    assert self.request.recv(len(_POSTGRES_ASKS)) == _POSTGRES_ASKS
                    self.request.sendall(b"S")
                with (
                    context.wrap_socket(self.request, server_side=True) as tls,
                    socket.create_connection(target) as back,
                ):
                    going.add(tls)
                    _pass_on(tls, back)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)
            for connection in going:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _pass_on(tls: ssl.SSLSocket, back: socket.socket) -> None:
    """Pass bytes both ways until one end closes; one thread does both, for OpenSSL's connections belong to one."""
    while True:
        readable = [tls] if tls.pending() else select.select([tls, back], [], [])[0]
        for end in readable:
            data = end.recv(_CHUNK)
            if not data:
                return
            (back if end is tls else tls).sendall(data)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    built = built.serial_number(x509.random_serial_number())
    return built.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
