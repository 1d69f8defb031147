"""What the programs in Python have in common. Environment: POQ_GATEWAY (address of a gateway, with /v1), POQ_KEY (an API key of its own)."""

import json
import os
import sys
import time
import traceback
import urllib.request
from concurrent.futures import ThreadPoolExecutor

URL, KEY = os.environ["POQ_GATEWAY"], os.environ["POQ_KEY"]
MODEL = "poq-demo-strong"
QUESTION = [{"role": "user", "content": "What is the capital of Peru?"}]
ANSWER = "Lima"
# Few operators for each question: a network on one machine has little to spare.
FEW = {"responders": 1, "committee": 3}
# Seconds for one answer of the network.
PATIENCE = 900


def get(path):
    request = urllib.request.Request(f"{URL}{path}", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def until_over(order):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        record = get(f"/requests/{order}")
        if record["state"] != "open":
            return record
        time.sleep(1)
    raise AssertionError(f"the request {order} is not over after {PATIENCE} s")


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def is_settled(poq):
    assert poq["state"] == "settled" and poq["receipt"] == f"/v1/receipts/{poq['request']}", poq
    assert 0 < poq["quality"] <= 1 and poq["scored_by"] >= 1, poq
    assert int(poq["cost"]) + int(poq["refund"]) == int(poq["budget"]) + int(poq["transaction_fee"]), poq
    (best,) = [one for one in poq["responders"] if one["operator"] == poq["operator"]]
    assert int(best["paid"]) > 0, poq


def run(checks, questions):
    """Runs the checks at the same time. `questions` is the number of requests that the key has then paid for."""
    failed = 0
    with ThreadPoolExecutor(len(checks)) as pool:
        for check, future in [(check, pool.submit(check)) for check in checks]:
            name = check.__name__.removeprefix("check_").replace("_", " ")
            try:
                future.result()
                print(f"ok      {name}", flush=True)
            except Exception:
                failed += 1
                print(f"FAILED  {name}", flush=True)
                traceback.print_exc()
    orders = get("/requests?limit=100")["data"]
    if len(orders) != questions:
        failed += 1
        print(f"FAILED  the key has {len(orders)} orders, and {questions} questions were asked")
    print(f"{'passed' if not failed else 'FAILED'}: {len(checks)} checks, {len(orders)} questions")
    sys.exit(1 if failed else 0)
