"""Asks language models through a Proof of Quality chain.

>>> from proof_of_quality import Account, Chain
>>> with Chain("ws://127.0.0.1:9944") as chain:
...     answer = chain.ask("What is the capital of Peru?", Account.from_uri("//Bob"))
...     print(answer.text, answer.quality)
"""

from .account import Account
from .chain import Answer, Chain, Estimate, Model, Refused
from .conversation import SEPARATOR, Malformed, Message, Options, decode_conversation, encode_conversation, options_of
from .gateway import Gateway, GatewayAnswer, GatewayError
from .receipt import Invalid, answer_of, digest, verify

__all__ = [
    "SEPARATOR",
    "Account",
    "Answer",
    "Chain",
    "Estimate",
    "Gateway",
    "GatewayAnswer",
    "GatewayError",
    "Invalid",
    "Malformed",
    "Message",
    "Model",
    "Options",
    "Refused",
    "answer_of",
    "decode_conversation",
    "digest",
    "encode_conversation",
    "options_of",
    "verify",
]
