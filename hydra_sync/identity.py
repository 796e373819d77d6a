"""Who signs: member keys, the network they form, and hydra-node's text envelopes. No I/O."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NewType

from nacl import bindings
from nacl.exceptions import BadSignatureError

from hydra_sync.encoding import decode, encode
from hydra_sync.errors import FormatError, SignatureError, UsageError
from hydra_sync.limits import KEY_BYTES, MEMBERS_MAX, NETWORK_NAME_BYTES_MAX, SIGNATURE_BYTES

__all__ = [
    "MemberKey",
    "NetworkId",
    "SigningKey",
    "cose_signed_bytes",
    "member_key",
    "network_id",
    "parse_signing_envelope",
    "parse_verification_envelope",
    "verify",
]

MemberKey = NewType("MemberKey", bytes)
"""An Ed25519 verification key, 32 bytes: the name of a member and of its log."""

NetworkId = NewType("NetworkId", bytes)
"""SHA-256 that binds every signature to one network (design: 2)."""

COSE_PROTECTED: Final = encode({1: -19})  # alg -19 = Ed25519, fully specified (RFC 9864)
SIGNING_TYPE: Final = "HydraSigningKey_ed25519"
VERIFICATION_TYPE: Final = "HydraVerificationKey_ed25519"


def member_key(data: bytes) -> MemberKey:
    """``data`` as a member's key. Raises `FormatError` unless it has 32 bytes."""
    if len(data) != KEY_BYTES:
        raise FormatError(f"a member key has {KEY_BYTES} bytes, not {len(data)}")
    return MemberKey(bytes(data))


def network_id(name: str, members: Iterable[MemberKey]) -> NetworkId:
    """The identity of the network that these members form under this name.

    The order of ``members`` does not matter. Raises `UsageError` for a network that cannot be:
    no members, too many, the same one twice, a name that is empty or too long.
    """
    keys = sorted(members)
    if not 1 <= len(keys) <= MEMBERS_MAX:
        raise UsageError(f"a network has 1 to {MEMBERS_MAX} members, not {len(keys)}")
    for left, right in itertools.pairwise(keys):
        if left == right:
            raise UsageError(f"member {left.hex()} is named twice: give each verification key once")
    if not name.isprintable() or not 1 <= len(name.encode()) <= NETWORK_NAME_BYTES_MAX:
        raise UsageError(f"a network's name is a text of 1 to {NETWORK_NAME_BYTES_MAX} printable bytes")
    return NetworkId(hashlib.sha256(encode(["hydra-sync network", name, keys])).digest())


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A member's private key.

    >>> key = SigningKey(bytes(32))
    >>> key.member.hex()[:16]
    '3b6a27bcceb6a42d'
    """

    seed: bytes = field(repr=False)
    member: MemberKey = field(init=False)
    _expanded: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.seed) != KEY_BYTES:
            raise FormatError(f"a signing key has {KEY_BYTES} bytes, not {len(self.seed)}")
        public, expanded = bindings.crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "member", MemberKey(public))
        object.__setattr__(self, "_expanded", expanded)

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of ``message``, 64 bytes (RFC 8032)."""
        signed: bytes = bindings.crypto_sign(message, self._expanded)
        return signed[:SIGNATURE_BYTES]


def verify(member: MemberKey, message: bytes, signature: bytes) -> None:
    """Raise `SignatureError` unless ``signature`` is the member's own of ``message``."""
    try:
        bindings.crypto_sign_open(signature + message, member)
    except (BadSignatureError, ValueError, TypeError) as error:
        raise SignatureError(f"no valid signature of member {member.hex()}") from error


def cose_signed_bytes(external_aad: bytes, payload: bytes) -> bytes:
    """What a COSE_Sign1 signature covers: the Sig_structure of RFC 9052, 4.4."""
    return encode(["Signature1", COSE_PROTECTED, external_aad, payload])


def parse_signing_envelope(text: str) -> SigningKey:
    """The key in a ``.sk`` file of hydra-node (``gen-hydra-key``). Raises `FormatError`."""
    return SigningKey(_parse_envelope(text, SIGNING_TYPE))


def parse_verification_envelope(text: str) -> MemberKey:
    """The key in a ``.vk`` file of hydra-node (``gen-hydra-key``). Raises `FormatError`."""
    return member_key(_parse_envelope(text, VERIFICATION_TYPE))


def signing_envelope(key: SigningKey) -> str:
    """The text of a ``.sk`` file, as hydra-node writes it."""
    return _envelope(SIGNING_TYPE, key.seed)


def verification_envelope(member: MemberKey) -> str:
    """The text of a ``.vk`` file, as hydra-node writes it."""
    return _envelope(VERIFICATION_TYPE, member)


def _envelope(kind: str, key: bytes) -> str:
    fields = {"type": kind, "description": "", "cborHex": encode(key).hex()}
    return json.dumps(fields, indent=4) + "\n"


def _parse_envelope(text: str, kind: str) -> bytes:
    try:
        fields: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"a key file is a JSON object: {error}") from error
    if not isinstance(fields, dict):
        raise FormatError("a key file is a JSON object")
    if fields.get("type") != kind:
        raise FormatError(f"the key file is a {fields.get('type')!r}, not a {kind}")
    try:
        key = decode(bytes.fromhex(fields["cborHex"]))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError("a key file has cborHex, a hexadecimal byte string") from error
    if type(key) is not bytes or len(key) != KEY_BYTES:
        raise FormatError(f"the key file does not hold {KEY_BYTES} bytes")
    return key
