"""Accounts that sign."""

import hashlib
import re
from pathlib import Path

import sr25519
from mnemonic import Mnemonic
from scalecodec.utils.ss58 import ss58_encode

# The phrase of development accounts, which everybody knows.
_DEV_PHRASE = "bottom drive obey lake curtain smoke basket hold race lonely fit walk"
_SECRET = re.compile(r"^(?P<secret>[^/]*)(?P<path>(//?[^/]+)*)(///(?P<password>.*))?$", re.DOTALL)


class Account:
    """An sr25519 key that signs transactions."""

    #: Kind of the key, and format of its address, for async-substrate-interface.
    crypto_type = 1
    ss58_format = 42

    def __init__(self, public_key: bytes, secret_key: bytes) -> None:
        self.public_key = public_key
        self._secret_key = secret_key

    @classmethod
    def from_uri(cls, uri: str) -> "Account":
        """The account of a secret URI: a phrase or a seed (``0x…``), then a path if need be. A path alone, such as ``//Bob``, is a
        development account, whose secret everybody knows."""
        parts = _SECRET.match(uri.strip())
        if not parts or uri.strip() == "":
            raise ValueError("not a secret URI: it is a phrase or a seed (0x…), then a path if need be")
        secret = parts["secret"] or _DEV_PHRASE
        if secret.startswith("0x"):
            seed = bytes.fromhex(secret[2:])
        else:
            try:
                entropy = bytes(Mnemonic("english").to_entropy(secret.split()))
            except (LookupError, ValueError):
                raise ValueError("not a secret URI: its words are no phrase") from None
            salt = "mnemonic" + (parts["password"] or "")
            seed = hashlib.pbkdf2_hmac("sha512", entropy, salt.encode(), 2048)[:32]
        if len(seed) != 32:
            raise ValueError("not a secret URI: a seed has 32 bytes")
        public, private = sr25519.pair_from_seed(seed)
        for slashes, junction in re.findall(r"(//?)([^/]+)", parts["path"]):
            derive = sr25519.hard_derive_keypair if slashes == "//" else sr25519.derive_keypair
            _, public, private = derive((_chain_code(junction), public, private), b"")
        return cls(public, private)

    @classmethod
    def from_file(cls, path: str | Path) -> "Account":
        """The account of the secret URI in a file, as ``poq key new`` writes it."""
        return cls.from_uri(Path(path).read_text(encoding="utf-8"))

    @property
    def ss58_address(self) -> str:
        """The address."""
        return ss58_encode(self.public_key, self.ss58_format)

    def sign(self, data: bytes | str) -> bytes:
        """A signature of these bytes, or of those that a text in hex is."""
        if isinstance(data, str):
            data = bytes.fromhex(data.removeprefix("0x"))
        return sr25519.sign((self.public_key, self._secret_key), bytes(data))

    def __repr__(self) -> str:
        return f"Account({self.ss58_address})"


def _chain_code(junction: str) -> bytes:
    """Chain code of a step in a path: a number as eight bytes, a text with its length in front, more than 32 bytes as their hash."""
    if junction.isascii() and junction.isdigit() and int(junction) < 2**64:
        code = int(junction).to_bytes(8, "little")
    else:
        text = junction.encode()
        if len(text) >= 64:
            raise ValueError("not a secret URI: a step of its path has at most 63 bytes")
        code = bytes([len(text) << 2]) + text
    return hashlib.blake2b(code, digest_size=32).digest() if len(code) > 32 else code.ljust(32, b"\0")
