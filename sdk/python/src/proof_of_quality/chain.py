"""The chain: find models, estimate, ask, follow, read."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from async_substrate_interface.errors import SubstrateRequestException
from async_substrate_interface.sync_substrate import SubstrateInterface

from .account import Account
from .conversation import Message, encode_conversation

_PALLET = "ProofOfQuality"
_PERMILL = 1_000_000
# The pallet's view function `estimate_budget`: hashes of the pallet's name and of the function's signature.
_ESTIMATE_BUDGET = bytes.fromhex("f28d785abbc7c708b5d606ce8d8b01ba38b087901c43f4ac34e9eb5edb0c0316")
_OVER = ("Settled", "Refunded")
_PAUSE = 0.5

# Types of this chain that the library knows by other paths.
_TYPES = {
    "*::*::RuntimeCall": "GenericCall",
    "*::*::RuntimeEvent": {"type": "struct", "base_class": "GenericScaleInfoEvent", "type_mapping": []},
    "bounded_collections::bounded_vec::BoundedVec": "BoundedVec",
}


class Refused(Exception):
    """A refusal by the chain. The text begins with the name of the error."""


@dataclass(frozen=True)
class Model:
    """A model of the registry."""

    id: str
    name: str
    #: ``Generator`` or ``Evaluator``.
    kind: str
    #: Tokens of question and answer together.
    context: int
    retired: bool
    #: The operators that serve it, by account.
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """Terms to ask with, and how their budget divides. Amounts are in units of 10^-12 POQ."""

    terms: dict[str, Any] = field(repr=False)
    inference: int
    scoring: int
    fee: int

    @property
    def total(self) -> int:
        return self.inference + self.scoring + self.fee


@dataclass(frozen=True)
class Answer:
    """The outcome of a question. ``text``, ``quality`` (0 to 1) and ``by`` are ``None`` if the request was refunded."""

    id: int
    text: str | None
    quality: float | None
    #: The operator whose answer it is.
    by: str | None
    #: ``Settled`` or ``Refunded``.
    phase: str
    #: Why it was refunded.
    reason: str | None
    #: The request with its responses and committees, as the chain stores them.
    request: dict[str, Any] = field(repr=False)


class Chain:
    """A connection to a node. Use it in a ``with`` statement or close it: a program with an open one does not end. One thread at a time may use
    it."""

    def __init__(self, url: str = "ws://127.0.0.1:9944") -> None:
        try:
            self._node = SubstrateInterface(url, ss58_format=42, type_registry={"types": _TYPES})
        except (OSError, TimeoutError) as error:
            raise ConnectionError(f"no node answers at {url}; `poq-node --dev` starts one") from error

    def __enter__(self) -> "Chain":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._node.close()

    @property
    def genesis(self) -> str:
        """Hash of the genesis block, by the word of this node."""
        return self._node.get_block_hash(0)

    def models(self) -> list[Model]:
        """The models of the registry."""
        at = self._node.get_chain_head()
        rosters = {_hex(id): roster for id, roster in self._entries("Rosters", at)}
        return [
            Model(
                id=_hex(id),
                name=_text(model["name"]),
                kind=_variant(model["kind"])[0],
                context=model["context"],
                retired=model["retired"],
                operators=tuple(place["operator"] for place in rosters.get(_hex(id), [])),
            )
            for id, model in self._entries("Models", at)
        ]

    def estimate(
        self,
        question: str | Sequence[Message],
        requester: str,
        *,
        models: Sequence[str] | None = None,
        max_tokens: int = 64,
        responders: int | None = None,
        committee: int | None = None,
        min_quality: float = 0.0,
        temperature: float = 0.0,
        seed: int = 0,
        budget: int | None = None,
    ) -> Estimate:
        """Terms that keep the chain's rules, and the chain's estimate of their price. Costs nothing, and refuses for most of the reasons
        for which the chain would.

        ``models`` are generators that may answer, by name or id; ``max_tokens`` the most tokens in the answer, 1 to 4,096, paid for whether
        used or not; ``responders`` the inference nodes that answer, 1 to 8; ``committee`` the quality validators that score, ``min_committee``
        of the chain's parameters (3) to 63; ``min_quality`` a score, 0 to 1, below which answers earn less; ``budget`` the most to pay, by
        default the estimate.
        """
        prompt = encode_conversation(question).encode()
        if not prompt.strip():
            raise Refused("EmptyPrompt: ask something.")
        if len(prompt) > 8_192:
            raise Refused("PromptTooLong: a question has at most 8,192 bytes of UTF-8.")
        if not 0 <= min_quality <= 1:
            raise Refused("a minimum quality is a number from 0 to 1")
        served = [model for model in self.models() if not model.retired and model.operators]
        generators = [model for model in served if model.kind == "Generator"]
        if models is not None:
            generators = [_named(generators, name) for name in models]
        # Each byte of a question counts as a token. If no generator has room, the chain refuses the request.
        fitting = [model for model in generators if len(prompt) + max_tokens <= model.context]
        generators = (fitting or generators)[:8]
        evaluator = next((model for model in served if model.kind == "Evaluator"), None)
        if not generators or evaluator is None:
            raise Refused("nobody serves a generator and an evaluator now")

        # An operator has one part in a request at most, and none in its own request.
        nodes = {operator for model in generators for operator in model.operators} - {requester}
        scorers = set(evaluator.operators) - {requester}
        responders = max(1, min(len(nodes), 2)) if responders is None else responders
        if committee is None:
            both = min(len(nodes & scorers), responders)
            least = self._read("EconomicParameters", [], self._node.get_chain_head())["min_committee"]
            committee = max(least, min(len(scorers) - both, 5))
        ids = [model.id for model in generators]
        inference, scoring, fee = self._estimate(ids, evaluator.id, max_tokens, responders, committee)
        terms = {
            "generators": ids,
            "evaluator": evaluator.id,
            "sampling": {"max_tokens": max_tokens, "temperature_milli": round(temperature * 1000), "seed": seed},
            "responders": responders,
            "committee": committee,
            "min_quality": round(min_quality * _PERMILL),
            "budget": inference + scoring + fee if budget is None else budget,
            # Random, so that nobody can tell ordinary requests from audits.
            "audit": "0x" + secrets.token_hex(32),
        }
        return Estimate(terms, inference, scoring, fee)

    def submit(self, question: str | Sequence[Message], account: Account, estimate: Estimate) -> int:
        """Puts the budget on hold and asks. Returns the request's number once the question is in a finalized block."""
        prompt = "0x" + encode_conversation(question).encode().hex()
        arguments = {"prompt": prompt, "terms": estimate.terms}
        try:
            call = self._node.compose_call(_PALLET, "request_inference", arguments)
            transaction = self._node.create_signed_extrinsic(call, account, era={"period": 64})
            receipt = self._node.submit_extrinsic(transaction, wait_for_finalization=True)
        except SubstrateRequestException as error:
            raise Refused(str(error)) from error
        if not receipt.is_success:
            raise Refused(_meaning(receipt.error_message))
        for record in receipt.triggered_events:
            event = record.get("event", record)
            if (event["module_id"], event["event_id"]) == (_PALLET, "Requested"):
                return event["attributes"]["request"]
        raise Refused("the transaction succeeded, but no request came of it")

    def ask(
        self,
        question: str | Sequence[Message],
        account: Account,
        *,
        on_phase: Callable[[str], None] = lambda phase: None,
        **wishes: Any,
    ) -> Answer:
        """Asks a question and waits for the answer. ``wishes`` are those of `estimate`."""
        estimate = self.estimate(question, account.ss58_address, **wishes)
        return self.follow(self.submit(question, account, estimate), on_phase)

    def follow(self, id: int, on_phase: Callable[[str], None] = lambda phase: None) -> Answer:
        """Follows a request until it is over in a finalized block. ``on_phase`` is called with the name of each phase that a finalized
        block has; short phases may be missed."""
        last = None
        while True:
            at = self._node.get_chain_finalised_head()
            request = self._read("Requests", [id], at)
            if request is None:
                raise LookupError(f"the chain has no request {id}: it was never made, is not final, or was long ago and is pruned")
            phase, _ = _variant(request["phase"])
            if phase != last:
                on_phase(phase)
                last = phase
            if phase in _OVER:
                return self._answer(id, at)
            time.sleep(_PAUSE)

    def read(self, id: int) -> dict[str, Any] | None:
        """A request as it stands in the newest block, with its ``responses`` and ``committees``; ``None`` if there is none."""
        return self._request(id, self._node.get_chain_head())

    def _request(self, id: int, at: str) -> dict[str, Any] | None:
        request = self._read("Requests", [id], at)
        if request is None:
            return None
        committees = [self._read("Committees", [id, round], at) for round in range(request["round"] + 1)]
        return {**request, "responses": self._read("Responses", [id], at) or [], "committees": [c for c in committees if c]}

    def _answer(self, id: int, at: str) -> Answer:
        request = self._request(id, at)
        assert request is not None
        phase, end = _variant(request["phase"])
        if phase == "Refunded":
            return Answer(id, None, None, None, phase, _variant(end["reason"])[0], request)
        best = request["responses"][end["best"]]
        output = self._output(id, end["best"], at)
        return Answer(id, output, (best["quality"] or 0) / _PERMILL, best["operator"], phase, None, request)

    def _output(self, id: int, index: int, at: str) -> str:
        """A text of an answer. Read as bytes: the library gives texts and hex digits alike."""
        key = self._node.create_storage_key(_PALLET, "Outputs", [id, index], block_hash=at)
        stored = self._node.rpc_request("state_getStorage", [key.to_hex(), at])["result"]
        return _bytes(bytes.fromhex(stored[2:])).decode(errors="replace")

    def _read(self, item: str, keys: list[Any], at: str) -> Any:
        return _plain(self._node.query(_PALLET, item, keys, block_hash=at))

    def _entries(self, item: str, at: str) -> list[tuple[Any, Any]]:
        return [(_plain(key), _plain(value)) for key, value in self._node.query_map(_PALLET, item, block_hash=at)]

    def _estimate(self, generators: list[str], evaluator: str, *numbers: int) -> tuple[int, int, int]:
        ids = b"".join(bytes.fromhex(id[2:]) for id in [*generators, evaluator])
        if not all(0 <= number < 2**32 for number in numbers):
            raise Refused("max_tokens, responders and committee are whole numbers below 2^32")
        arguments = bytes([len(generators) << 2]) + ids + b"".join(number.to_bytes(4, "little") for number in numbers)
        call = _ESTIMATE_BUDGET + _compact(len(arguments)) + arguments
        response = self._node.rpc_request(
            "state_call", ["RuntimeViewFunction_execute_view_function", "0x" + call.hex(), self._node.get_chain_head()]
        )
        said = bytes.fromhex(response["result"][2:])
        # A result around bytes with their length in front, and in them a result again.
        if said[:1] != b"\0":
            raise Refused("the chain has no view function `estimate_budget`: it is of another release")
        result = _bytes(said[1:])
        if result[:1] == b"\0" and len(result) == 1 + 3 * 16:
            inference, scoring, fee = (int.from_bytes(result[at : at + 16], "little") for at in (1, 17, 33))
            return inference, scoring, fee
        # An error of a pallet: its index, then that of the error.
        if result[1:2] == b"\3":
            error = self._node.metadata.get_module_error(module_index=result[2], error_index=result[3])
            raise Refused(f"{error.name}: {' '.join(error.docs).strip()}")
        raise Refused(f"the chain refuses the terms: 0x{result.hex()}")


def _compact(number: int) -> bytes:
    """SCALE's encoding of a length below 2^14."""
    return bytes([number << 2]) if number < 64 else (number << 2 | 1).to_bytes(2, "little")


def _bytes(encoded: bytes) -> bytes:
    """SCALE's bytes with a length below 2^30 in front."""
    return encoded[(1, 2, 4)[encoded[0] & 3] :]


def _named(generators: list[Model], name: str) -> Model:
    for model in generators:
        if name in (model.id, model.name):
            return model
    raise Refused(f'nobody serves a generator "{name}" now; `models` lists them')


def _plain(value: Any) -> Any:
    """A value of the library without its wrapping."""
    return getattr(value, "value", value)


def _variant(value: Any) -> tuple[str, Any]:
    """Name and fields of a variant: the library gives a text for those without fields."""
    if isinstance(value, str):
        return value, {}
    [(name, fields)] = value.items()
    return name, fields


def _hex(value: Any) -> str:
    return value if isinstance(value, str) else "0x" + bytes(value).hex()


def _text(value: Any) -> str:
    """Text of the chain: the library gives bytes as text, as hex, or as a list of numbers."""
    if isinstance(value, str):
        return bytes.fromhex(value[2:]).decode(errors="replace") if value.startswith("0x") else value
    return bytes(value).decode(errors="replace")


def _meaning(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    return f"{error.get('name')}: {' '.join(error.get('docs') or [])}"
