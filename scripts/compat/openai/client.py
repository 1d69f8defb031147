"""OpenAI's own Python client against the engine. Each function that begins with `check_` is one check.

Environment: POQ_BASE (an engine), POQ_FULL_BASE (one with no place for any request), POQ_TOKEN.
"""

import asyncio
import json
import os
import sys
import time
import traceback
import urllib.request

import openai

BASE, FULL, TOKEN = os.environ["POQ_BASE"], os.environ["POQ_FULL_BASE"], os.environ["POQ_TOKEN"]
MODEL, EVALUATOR = "poq-demo-strong", "poq-demo-evaluator"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def client(base=BASE, token=TOKEN, kind=openai.OpenAI):
    return kind(base_url=f"{base}/v1", api_key=token, max_retries=0)


def ask(**more):
    return client().chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, **more})


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def metric(name):
    request = urllib.request.Request(f"{BASE}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
    return 0.0


def check_models():
    models = {model.id: model for model in client().models.list()}
    assert {MODEL, "poq-demo-weak", EVALUATOR} <= models.keys(), models
    assert models[MODEL].object == "model" and models[MODEL].created > 0 and models[MODEL].owned_by
    assert models[MODEL].kind == "generator" and len(models[MODEL].sha256) == 64
    one = client().models.retrieve(MODEL)
    assert one.id == MODEL and one.sha256 == models[MODEL].sha256
    assert ask(model=one.sha256).choices == ask().choices


def check_chat():
    answer = ask()
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion" and answer.model == MODEL
    (choice,) = answer.choices
    assert choice.index == 0 and choice.message.role == "assistant" and choice.finish_reason == "stop"
    assert "Paris" in choice.message.content, choice
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.completion_tokens > 0


def check_streams_say_the_same():
    whole = ask()
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert all(chunk.object == "chat.completion.chunk" and chunk.id == chunks[0].id for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content, (text, whole)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in ask(stream=True)), "nobody asked for it"


def check_json_schema():
    person = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "maximum": 150}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": person}}
    for seed in range(4):
        answer = ask(response_format=form, temperature=2, seed=seed, max_tokens=200).choices[0]
        told = json.loads(answer.message.content)
        assert answer.finish_reason == "stop" and list(told) == ["name", "age"], answer
        assert len(told["name"]) <= 8 and isinstance(told["age"], int), told


def check_tools():
    city = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 8}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": city}}]
    answer = ask(tools=tools, tool_choice="required", max_tokens=200).choices[0]
    (call,) = answer.message.tool_calls
    assert answer.finish_reason == "tool_calls" and call.function.name == "weather", answer
    assert list(json.loads(call.function.arguments)) == ["city"], call
    talk = [*QUESTION, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "Sunny."}]
    assert ask(messages=talk, tools=tools).choices[0].message is not None


def check_logprobs():
    answer = ask(logprobs=True, top_logprobs=2)
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens
    assert all(token.top_logprobs[0].logprob == token.logprob <= 0 for token in tokens), tokens


def check_what_is_not_done_is_refused():
    error = raised(openai.BadRequestError, lambda: ask(logit_bias={"1": 1}))
    assert "'logit_bias'" in str(error), error


def check_the_clients_own_stream_helper():
    with client().chat.completions.stream(model=MODEL, messages=QUESTION, temperature=0) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == ask().choices[0].message.content


def check_limits_and_stops():
    short = ask(max_tokens=2)
    assert short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 2
    assert ask(max_completion_tokens=2).choices == short.choices
    word = ask().choices[0].message.content.split()[-1]
    stopped = ask(stop=[word])
    assert word not in stopped.choices[0].message.content and stopped.choices[0].finish_reason == "stop"
    seeded = [ask(temperature=1.5, seed=7, max_tokens=40).choices for _ in range(2)]
    assert seeded[0] == seeded[1]
    parts = [{"role": "user", "content": [{"type": "text", "text": QUESTION[0]["content"]}]}]
    assert ask(messages=parts).choices == ask().choices


def check_errors():
    wrong = client(token="x" * 32)
    error = raised(openai.AuthenticationError, wrong.models.list)
    assert error.code == "unauthorized" and error.type == "authentication_error", error
    error = raised(openai.NotFoundError, lambda: ask(model="gpt-4o"))
    assert error.code == "model_not_found" and "gpt-4o" in error.message, error
    raised(openai.NotFoundError, lambda: client().models.retrieve("gpt-4o"))
    error = raised(openai.BadRequestError, lambda: ask(n=2))
    assert error.type == "invalid_request_error" and error.param == "n", error
    raised(openai.BadRequestError, lambda: ask(messages=[]))
    raised(openai.NotFoundError, lambda: ask(model=EVALUATOR))
    long = [{"role": "user", "content": "word " * 50_000}]
    for stream in (False, True):
        error = raised(openai.BadRequestError, lambda: ask(messages=long, stream=stream))
        assert error.code == "context_length_exceeded", error
    full = client(FULL).chat.completions
    error = raised(openai.RateLimitError, lambda: full.create(model=MODEL, messages=QUESTION))
    assert error.code == "queue_full" and int(error.response.headers["retry-after"]) > 0, error


def check_a_disconnect_ends_the_work():
    name = 'poq_work_total{kind="generate",outcome="cancelled"}'
    before = metric(name)
    while metric(name) == before:
        # The demo model may be at its context's end before the engine hears of it: then once more.
        with ask(stream=True, temperature=100, top_p=1, max_tokens=3000) as stream:
            next(iter(stream))
        while metric("poq_http_requests_in_flight") != 1:
            time.sleep(0.05)
    assert "Paris" in ask().choices[0].message.content


def check_eight_at_once():
    async def run():
        async with client(kind=openai.AsyncOpenAI) as many:
            create = many.chat.completions.create
            calls = [create(model=MODEL, messages=QUESTION, temperature=0) for _ in range(8)]
            return await asyncio.gather(*calls)

    texts = {answer.choices[0].message.content for answer in asyncio.run(run())}
    assert len(texts) == 1 and "Paris" in texts.pop()


def main():
    checks = [(name, check) for name, check in globals().items() if name.startswith("check_")]
    failed = 0
    for name, check in checks:
        try:
            check()
            print(f"ok      {name.removeprefix('check_').replace('_', ' ')}")
        except Exception:
            failed += 1
            print(f"FAILED  {name.removeprefix('check_').replace('_', ' ')}")
            traceback.print_exc()
    print(f"{len(checks) - failed} of {len(checks)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
