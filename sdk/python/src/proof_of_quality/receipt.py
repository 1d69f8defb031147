"""Receipts: proofs of what became of a request, checked without a node.

The verifier is the one of ``poq verify``, compiled to WebAssembly (crate ``poq-receipt``).
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from wasmtime import Engine, Instance, Module, Store


class Invalid(ValueError):
    """A refusal of a receipt; the text is the first thing that does not hold."""


def verify(receipt: str | bytes | dict[str, Any], anchor: str) -> dict[str, Any]:
    """Checks a receipt without a node, and returns what it proves: the JSON of ``poq verify --json``.

    ``receipt`` is the file that ``poq receipt`` wrote, as text or as parsed JSON. ``anchor`` is the hash of the block that the reader trusts
    and that the receipt must begin with, usually the genesis block's (``0x…``): take it from a source of your own, never from the receipt.

    Raises `Invalid` if anything does not hold.
    """
    if isinstance(receipt, dict):
        receipt = json.dumps(receipt)
    if isinstance(receipt, str):
        receipt = receipt.encode()
    said = json.loads(_call("poq_verify", receipt, anchor.encode()))
    if "proven" not in said:
        raise Invalid(said["invalid"])
    return said["proven"]


def digest(text: str) -> str:
    """Digest of a prompt or of an answer as the state holds it: BLAKE2b-256 of the SCALE encoding of the text."""
    return _call("poq_digest", text.encode())


def answer_of(proven: dict[str, Any], text: str) -> int | None:
    """Index of the answer that is this text, white space included; ``None`` if none is."""
    wanted = digest(text)
    return next((index for index, answer in enumerate(proven["answers"]) if answer["digest"] == wanted), None)


@cache
def _module() -> tuple[Engine, Module]:
    engine = Engine()
    return engine, Module(engine, files(__package__).joinpath("verifier.wasm").read_bytes())


def _call(name: str, *texts: bytes) -> str:
    """Calls a function of a fresh instance that takes texts and returns the place of a text with its length in front."""
    engine, module = _module()
    store = Store(engine)
    exports = Instance(store, module, []).exports(store)
    memory = exports["memory"]
    arguments: list[int] = []
    for text in texts:
        place = exports["poq_reserve"](store, len(text))
        memory.write(store, text, place)
        arguments += [place, len(text)]
    at = exports[name](store, *arguments)
    length = int.from_bytes(memory.read(store, at, at + 4), "little")
    return memory.read(store, at + 4, at + 4 + length).decode()
