"""OpenAI's Python client against a gateway. Each function that begins with `check_` is one check."""

import openai
from common import ANSWER, FEW, KEY, MODEL, PATIENCE, QUESTION, URL, is_settled, raised, run, until_over


def client(**more):
    # The client's own retries stay on: none may make a second order.
    return openai.OpenAI(**{"base_url": URL, "api_key": KEY, "timeout": PATIENCE, **more})


def ask(by=None, poq=FEW, **more):
    usual = {"model": MODEL, "messages": QUESTION, "max_tokens": 32, "temperature": 0, "extra_body": {"poq": poq}}
    return (by or client()).chat.completions.create(**{**usual, **more})


def check_models():
    models = {model.id: model for model in client().models.list()}
    assert {MODEL, "poq-demo-weak", "auto"} <= models.keys(), models
    assert models[MODEL].object == "model" and models[MODEL].owned_by and models[MODEL].poq["operators"]
    assert client().models.retrieve(MODEL).poq["id"] == models[MODEL].poq["id"]


def check_errors():
    error = raised(openai.AuthenticationError, client(api_key="sk-wrong").models.list)
    assert error.code == "invalid_api_key" and error.type == "authentication_error", error
    error = raised(openai.NotFoundError, lambda: ask(model="gpt-4o"))
    assert error.code == "model_not_found" and "gpt-4o" in error.message and error.param == "model", error
    raised(openai.NotFoundError, lambda: client().models.retrieve("gpt-4o"))
    error = raised(openai.BadRequestError, lambda: ask(messages=[]))
    assert error.code == "invalid_request" and error.param == "messages", error
    error = raised(openai.BadRequestError, lambda: ask(poq={"validators": 3}))
    assert "validators" in error.message, error
    error = raised(openai.BadRequestError, lambda: ask(response_format={"type": "json_object"}))
    assert error.param == "response_format", error
    for stream in (False, True):
        long = [{"role": "user", "content": "word " * 50_000}]
        error = raised(openai.BadRequestError, lambda: ask(messages=long, stream=stream))
        assert error.code == "context_length_exceeded", error
    error = raised(openai.APIStatusError, lambda: ask(poq={**FEW, "budget": "0.000001"}))
    assert error.status_code == 402 and error.code == "budget_too_small", error


def check_an_answer_and_the_same_again():
    header = {"Idempotency-Key": "an answer"}
    options = {"responders": 2, "committee": 3, "min_quality": 0.5, "budget": "5"}
    system = {"role": "system", "content": "Answer in one sentence."}
    models = f"{MODEL},poq-demo-weak"
    first, second = (ask(model=models, poq=options, messages=[system, *QUESTION], extra_headers=header) for _ in range(2))
    assert first == second
    assert first.id.startswith("chatcmpl-") and first.object == "chat.completion" and first._request_id == first.id
    (choice,) = first.choices
    assert ANSWER in choice.message.content and choice.message.role == "assistant" and choice.finish_reason == "stop", choice
    usage = first.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens and usage.completion_tokens > 0
    is_settled(first.poq)
    assert len(first.poq["responders"]) == 2 and first.poq["min_quality"] == 0.5 and first.model == first.poq["model"] == MODEL
    error = raised(openai.UnprocessableEntityError, lambda: ask(seed=9, extra_headers=header))
    assert error.code == "idempotency_key_reused", error


def check_a_stream():
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert all(chunk.object == "chat.completion.chunk" and chunk.id == chunks[0].id for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert ANSWER in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-2].usage is None
    assert chunks[-1].choices == [] and chunks[-1].usage.total_tokens > 0
    is_settled(chunks[-1].poq)


def check_the_clients_own_stream_helper():
    asked = {"model": MODEL, "messages": QUESTION, "max_tokens": 32, "temperature": 0, "extra_body": {"poq": FEW}}
    with client().chat.completions.stream(**asked) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_completion()
    assert ANSWER in final.choices[0].message.content and final.choices[0].finish_reason == "stop", final
    assert "content.delta" in events and "content.done" in events, events


def check_a_text_completion_by_the_model_that_the_gateway_picks():
    answer = client().completions.create(model="auto", prompt=QUESTION[0]["content"], max_tokens=32, extra_body={"poq": FEW})
    # While no quality is known, the weak model may be drawn alone.
    assert answer.object == "text_completion" and answer.choices[0].text.strip(), answer
    is_settled(answer.poq)


def check_a_client_that_gives_up_and_asks_again():
    header = {"Idempotency-Key": "given up"}
    hasty = client(timeout=2, max_retries=1)
    raised(openai.APITimeoutError, lambda: ask(hasty, seed=1, extra_headers=header))
    assert ANSWER in ask(seed=1, extra_headers=header).choices[0].message.content


def check_a_timeout_of_the_gateway():
    # Whole answers and streams say it differently.
    error = raised(openai.InternalServerError, lambda: ask(poq={**FEW, "timeout": 1}, seed=2))
    streamed = raised(openai.APIError, lambda: list(ask(poq={**FEW, "timeout": 1}, seed=3, stream=True)))
    for late in (error, streamed):
        assert late.code == "timeout" and late.body["poq"]["state"] == "open", (late, late.body)
        done = until_over(late.body["poq"]["id"])
        assert ANSWER in done["response"]["choices"][0]["message"]["content"], done


if __name__ == "__main__":
    run([check for name, check in list(globals().items()) if name.startswith("check_")], questions=7)
