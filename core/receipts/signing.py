"""The key of a store, and the signatures of receipts: ed25519 (RFC 8032) over canonical JSON."""

import json
import os
import re
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.disk import write_atomic
from core.errors import UserMistake
from core.locks import process_lock
from core.settings import atelier_home

ALGORITHM = "ed25519"
_HEX = {"key": re.compile(r"[0-9a-f]{64}"), "value": re.compile(r"[0-9a-f]{128}")}


def key_path() -> Path:
    """The private key of the store; whoever has it can sign as the store does."""
    return atelier_home() / "receipts.pem"


def store_key() -> str:
    """The public key of this store, 64 hexadecimal digits; "" where it has never signed anything."""
    return _public(_load_key()) if key_path().exists() else ""


def sign(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its field "signature" by the key of the store, which is made with the first one."""
    key = _make_key()
    value = key.sign(canonical(document)).hex()
    return document | {"signature": {"algorithm": ALGORITHM, "key": _public(key), "value": value}}


def signer(document: dict[str, Any]) -> str | None:
    """The public key whose signature the document has, over everything else in it; None where it does not hold."""
    signature, rest = (
        document.get("signature"),
        {name: value for name, value in document.items() if name != "signature"},
    )
    if not isinstance(signature, dict) or signature.keys() != {"algorithm", "key", "value"}:
        return None
    well_formed = all(
        isinstance(signature[name], str) and form.fullmatch(signature[name]) for name, form in _HEX.items()
    )
    if signature["algorithm"] != ALGORITHM or not well_formed:
        return None
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature["key"]))
        public.verify(bytes.fromhex(signature["value"]), canonical(rest))
    except (InvalidSignature, ValueError):
        return None
    return str(signature["key"])


def canonical(document: Any) -> bytes:
    """The same bytes for the same values, however the file is laid out. ValueError for NaN and infinity."""
    return json.dumps(document, allow_nan=False, sort_keys=True, separators=(",", ":")).encode()


def _make_key() -> Ed25519PrivateKey:
    with process_lock(key_path().with_suffix(".lock")):
        if not key_path().exists():
            pem = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            before = os.umask(0o077)  # never readable by others, not even for a moment
            try:
                write_atomic(key_path(), pem)
            finally:
                os.umask(before)
        return _load_key()


def _load_key() -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(key_path().read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise UserMistake(
            f"The key that signs receipts, {key_path()}, cannot be read. Put the original file back; without it, "
            "delete it for a new key, and receipts of the old one are then another store's."
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UserMistake(f"{key_path()} holds a key of another kind; receipts are signed with {ALGORITHM}.")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return raw.hex()
