"""LiteLLM as a library against a gateway, as a server of OpenAI's form."""

import asyncio

import litellm
from common import ANSWER, FEW, KEY, MODEL, PATIENCE, QUESTION, URL, raised, run

litellm.suppress_debug_info = True

USUAL = {
    "model": f"openai/{MODEL}",
    "messages": QUESTION,
    "api_base": URL,
    "api_key": KEY,
    "max_tokens": 32,
    "temperature": 0,
    "timeout": PATIENCE,
    "extra_body": {"poq": FEW},
}


def check_an_answer():
    answer = litellm.completion(**USUAL)
    assert ANSWER in answer.choices[0].message.content and answer.choices[0].finish_reason == "stop", answer
    assert answer.usage.total_tokens > 0, answer
    assert answer.model_dump()["poq"]["state"] == "settled", answer


def check_a_stream():
    chunks = list(litellm.completion(**USUAL, seed=1, stream=True, stream_options={"include_usage": True}))
    assert ANSWER in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), chunks
    whole = litellm.stream_chunk_builder(chunks, messages=QUESTION)
    assert whole.choices[0].finish_reason == "stop" and whole.usage.total_tokens > 0, whole


def check_an_answer_without_waiting():
    async def run():
        return await litellm.acompletion(**USUAL, seed=2)

    assert ANSWER in asyncio.run(run()).choices[0].message.content


def check_errors():
    raised(litellm.AuthenticationError, lambda: litellm.completion(**{**USUAL, "api_key": "sk-wrong"}))
    error = raised(litellm.NotFoundError, lambda: litellm.completion(**{**USUAL, "model": "openai/gpt-4o"}))
    assert "gpt-4o" in str(error), error
    long = [{"role": "user", "content": "word " * 50_000}]
    raised(litellm.ContextWindowExceededError, lambda: litellm.completion(**{**USUAL, "messages": long}))


if __name__ == "__main__":
    run([check for name, check in list(globals().items()) if name.startswith("check_")], questions=3)
