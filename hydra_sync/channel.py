"""The channel seam: who is at the other end, proven; mutual TLS 1.3 pinned to the members. Does I/O.

No certificate authority and no hand-made cryptography: each member's identity key is a trust anchor,
each node shows a fresh leaf signed by its own, and the issuer of the verified leaf is who speaks
(design: 5). Simulated networks use the plaintext twin in `hydra_sync.testing`, because OpenSSL's
randomness cannot be seeded.
"""

from __future__ import annotations

import datetime
import ssl
import tempfile
from collections.abc import Iterable
from typing import Final, Protocol

import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from hydra_sync.errors import FormatError, PeerError
from hydra_sync.identity import MemberKey, SigningKey, member_key

__all__ = ["Channel", "TlsChannel", "explain"]

ALPN: Final = "hydra-sync/1"
# Certificates carry keys here, not trust that expires: who is a member, the configuration says.
# The earliest date there is: a machine without a clock believes it is 1970.
_NOT_BEFORE: Final = datetime.datetime(1950, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER: Final = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)

_EXPLANATIONS: Final = (
    ("CERTIFICATE_VERIFY_FAILED", "the other side's key belongs to no member of this network"),
    ("UNKNOWN_CA", "the other side does not know our key: it has us on no list of members"),
    ("NO_APPLICATION_PROTOCOL", "the other side is no hydra-sync node"),
    ("WRONG_VERSION_NUMBER", "the other side does not speak TLS: no hydra-sync node"),
    ("HTTP_REQUEST", "the other side does not speak TLS: no hydra-sync node"),
    ("UNEXPECTED_EOF", "the other side closed the connection"),
)


class Channel(Protocol):
    """Turns a byte stream into one whose other end is a proven member."""

    async def connect(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        """Do the dialing side's handshake. Raises `PeerError` if the other end is no member."""

    async def accept(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        """Do the listening side's handshake. Raises `PeerError` if the other end is no member."""


class TlsChannel:
    """Mutual TLS 1.3 between members."""

    def __init__(self, key: SigningKey, members: Iterable[MemberKey]) -> None:
        anchors = b"".join(_trust_anchor(member) for member in sorted(members))
        identity = Ed25519PrivateKey.from_private_bytes(key.seed)
        self._client = _context(ssl.PROTOCOL_TLS_CLIENT, identity, anchors)
        self._server = _context(ssl.PROTOCOL_TLS_SERVER, identity, anchors)
        self._server.num_tickets = 0  # no resumption: each connection proves both keys afresh

    async def connect(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        return await _handshake(trio.SSLStream(transport, self._client, server_hostname=None))

    async def accept(self, transport: trio.abc.Stream) -> tuple[trio.abc.Stream, MemberKey]:
        return await _handshake(trio.SSLStream(transport, self._server, server_side=True))


def explain(error: BaseException) -> str:
    """Why a connection broke, for people."""
    cause: BaseException | None = error
    while cause is not None:
        reason = str(getattr(cause, "reason", "") or cause)
        for sign, words in _EXPLANATIONS:
            if sign in reason.upper().replace(" ", "_"):
                return words
        if isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError):
            return cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error) or "the connection broke"


async def _handshake(
    stream: trio.SSLStream[trio.abc.Stream],
) -> tuple[trio.abc.Stream, MemberKey]:
    try:
        await stream.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise PeerError(explain(error)) from error
    if stream.selected_alpn_protocol() != ALPN:
        raise PeerError("the other side is no hydra-sync node: it did not choose our protocol")
    try:
        return stream, _issuer(stream)
    except (ValueError, KeyError, TypeError, ssl.SSLError, FormatError) as error:
        # A member can sign a leaf that verifies and that Python cannot take apart.
        raise PeerError(f"the other side's certificate cannot be read: {error}") from error


def _issuer(stream: trio.SSLStream[trio.abc.Stream]) -> MemberKey:
    """Who signed the leaf, which is verified already."""
    certificate = stream.getpeercert()
    issuer = dict(pair for names in certificate["issuer"] for pair in names)
    return member_key(bytes.fromhex(issuer["commonName"]))


def _context(protocol: int, identity: Ed25519PrivateKey, anchors: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # members are keys, not names
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols([ALPN])
    context.load_verify_locations(cadata=anchors)
    with tempfile.NamedTemporaryFile() as file:  # ssl loads keys from files only; this one is 0600, and of one leaf
        file.write(_leaf(identity))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: str, issuer: str, key: Ed25519PublicKey, signer: Ed25519PrivateKey, *, anchor: bool
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(1)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=anchor, path_length=0 if anchor else None), critical=True)
        .sign(signer, None)
    )


def _trust_anchor(member: MemberKey) -> bytes:
    """A member's key in DER; a trust anchor's own signature is never checked (RFC 5280, 6.1)."""
    key = Ed25519PublicKey.from_public_bytes(member)
    name = member.hex()
    return _certificate(name, name, key, Ed25519PrivateKey.generate(), anchor=True).public_bytes(
        serialization.Encoding.DER
    )


def _leaf(identity: Ed25519PrivateKey) -> bytes:
    """A fresh key and its certificate by ``identity``, in PEM."""
    key = Ed25519PrivateKey.generate()
    issuer = identity.public_key().public_bytes_raw().hex()
    certificate = _certificate("hydra-sync leaf", issuer, key.public_key(), identity, anchor=False)
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
