"""A gateway: a server that asks the network for its callers, in the form of OpenAI's API."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from .conversation import Message


class GatewayError(Exception):
    """A refusal or a failure; the text is the gateway's own."""

    def __init__(self, message: str, status: int | None = None, code: str | None = None, poq: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        #: HTTP status; ``None`` if nobody answered.
        self.status = status
        self.code = code
        #: The request that it is about, if the network had taken it.
        self.poq = poq


@dataclass(frozen=True)
class GatewayAnswer:
    """An answer."""

    text: str
    #: What the network says of it (request, quality, operators, cost, refund); ``None`` from a server that is no gateway.
    poq: dict[str, Any] | None = field(repr=False)


class Gateway:
    """A gateway at ``url``, for example ``http://127.0.0.1:8787/v1``, asked with an API key of its own. Close it, or use it in a ``with``
    statement. OpenAI's own client does as well; this one is thin."""

    def __init__(self, url: str, key: str, *, timeout: float = 600.0) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._http.close()

    def ask(
        self,
        question: str | Sequence[Message],
        *,
        model: str | Sequence[str] = "auto",
        idempotency_key: str | None = None,
        poq: dict[str, Any] | None = None,
        **settings: Any,
    ) -> GatewayAnswer:
        """Asks and waits. ``settings`` are OpenAI's (``max_tokens``, ``temperature``, ``seed``, ``stop``), ``poq`` the network's
        (``responders``, ``committee``, ``min_quality``, ``budget``, ``timeout``). With the ``idempotency_key`` of an earlier call the gateway
        gives that call's answer and asks nothing."""
        messages = [{"role": "user", "content": question}] if isinstance(question, str) else list(question)
        body = {"model": model if isinstance(model, str) else list(model), "messages": messages, **settings}
        if poq is not None:
            body["poq"] = poq
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(16)}
        said = self._call("POST", "chat/completions", json=body, headers=headers)
        return GatewayAnswer(said["choices"][0]["message"]["content"], said.get("poq"))

    def models(self) -> list[str]:
        """The names of the models that can be asked."""
        return [model["id"] for model in self._call("GET", "models")["data"]]

    def receipt(self, request: int) -> dict[str, Any]:
        """A receipt of a request, for `verify`."""
        return self._call("GET", f"receipts/{request}")

    def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise GatewayError(f"no gateway answers at {self._http.base_url}: {error}") from error
        try:
            said = response.json()
        except ValueError:
            said = None
        if response.is_success and said is not None:
            return said
        error = said.get("error") if isinstance(said, dict) else None
        if not isinstance(error, dict):
            raise GatewayError(f"{self._http.base_url} answers with status {response.status_code} and no JSON", response.status_code)
        about = error.get("poq") or said.get("poq")
        raise GatewayError(error.get("message") or "no reason given", response.status_code, error.get("code"), about)
