"""The Python SDK's own Gateway class against a gateway; then, without a network, its receipt.

    gateway_sdk.py FOLDER            asks, and writes the receipt into FOLDER
    gateway_sdk.py FOLDER verify     checks it; nothing has to run

Environment: GENESIS (hash of the chain's first block), and for asking what common.py reads.
"""

import json
import os
import sys
import time
from pathlib import Path

from proof_of_quality import Gateway, GatewayError, Invalid, answer_of, verify

FOLDER, GENESIS = Path(sys.argv[1]), os.environ["GENESIS"]


def check_an_answer_its_poq_and_its_receipt():
    question = [{"role": "system", "content": "Answer in one sentence."}, *QUESTION]
    asked = {"model": MODEL, "max_tokens": 32, "temperature": 0, "idempotency_key": "sdk", "poq": {**FEW, "min_quality": 0.5}}
    with Gateway(URL, KEY, timeout=PATIENCE) as gateway:
        answer = gateway.ask(question, **asked)
        assert ANSWER in answer.text, answer
        is_settled(answer.poq)
        assert gateway.ask(question, **asked) == answer and gateway.ask(question, **asked).poq == answer.poq
        end = time.monotonic() + PATIENCE
        while True:
            try:
                receipt = gateway.receipt(answer.poq["request"])
                break
            except GatewayError as error:
                assert error.status == 409 and error.code == "not_final" and time.monotonic() < end, error
                time.sleep(2)
    saved = {"receipt": receipt, "text": answer.text, "poq": answer.poq}
    FOLDER.joinpath("receipt.json").write_text(json.dumps(saved))


def check_models_and_refusals():
    with Gateway(URL, KEY) as gateway:
        assert {MODEL, "poq-demo-weak", "auto"} <= set(gateway.models())
        error = raised(GatewayError, lambda: gateway.ask("Hi", model="nobody's"))
        assert (error.status, error.code) == (404, "model_not_found") and "nobody's" in str(error), error
        error = raised(GatewayError, lambda: gateway.receipt(2**40))
        assert (error.status, error.code) == (404, "receipt_not_found"), error
    with Gateway(URL, "wrong") as gateway:
        assert raised(GatewayError, gateway.models).status == 401


def check_the_timeout_of_a_request_that_goes_on():
    with Gateway(URL, KEY, timeout=PATIENCE) as gateway:
        error = raised(GatewayError, lambda: gateway.ask(QUESTION, model=MODEL, max_tokens=32, seed=1, poq={**FEW, "timeout": 1}))
        assert (error.status, error.code, error.poq["state"]) == (504, "timeout", "open"), error
    done = until_over(error.poq["id"])
    assert ANSWER in done["response"]["choices"][0]["message"]["content"], done


def verify_offline():
    saved = json.loads(FOLDER.joinpath("receipt.json").read_text())
    receipt, text, poq = saved["receipt"], saved["text"], saved["poq"]
    proven = verify(receipt, GENESIS)
    assert proven["state"] == "settled" and proven["request"] == poq["request"], proven
    assert answer_of(proven, text) == proven["best"] and answer_of(proven, text + " ") is None, proven
    for wrong in (lambda: verify(receipt, "0x" + "11" * 32), lambda: verify(tampered(receipt), GENESIS)):
        try:
            wrong()
        except Invalid:
            continue
        raise AssertionError("a wrong receipt is taken")
    print("ok      the receipt proves the answer, with no node running")


def tampered(receipt):
    """The receipt with one digit of its longest text changed."""
    whole = json.dumps(receipt)
    longest = max(whole.split('"'), key=len)
    middle = len(longest) // 2
    return whole.replace(longest, longest[:middle] + ("0" if longest[middle] != "0" else "1") + longest[middle + 1 :])


if __name__ == "__main__":
    if sys.argv[2:] == ["verify"]:
        verify_offline()
    else:
        from common import ANSWER, FEW, KEY, MODEL, PATIENCE, QUESTION, URL, is_settled, raised, run, until_over

        run([check for name, check in list(globals().items()) if name.startswith("check_")], questions=2)
