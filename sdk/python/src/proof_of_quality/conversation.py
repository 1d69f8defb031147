"""Conversations as prompts: the encoding of ``poq_primitives::conversation``."""

import re
from collections.abc import Sequence
from typing import Literal, TypedDict

#: Stands before each message of a conversation; no text of a conversation may contain it.
SEPARATOR = "\u001e"

_MOST_STOPS = 4
_LONGEST_STOP = 64
_LETTERS = {"system": "s", "user": "u", "assistant": "a"}
_ROLES = {letter: role for role, letter in _LETTERS.items()}
# White space as Unicode has it; Python's own adds U+001C to U+001F.
_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


class Message(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Options(TypedDict, total=False):
    """Options of sampling that a prompt carries."""

    top_p: float
    stop: list[str]


class Malformed(ValueError):
    """Messages that cannot be a prompt; the text says what to do."""


def encode_conversation(messages: str | Sequence[Message], *, top_p: float = 1.0, stop: Sequence[str] = ()) -> str:
    """The prompt that a question or messages are, to be answered with these options. A single message of the user without options is plain
    text, as a question is. A prompt is a question: whatever takes a question takes what this returns.

    ``top_p`` samples from the likeliest tokens that have this part of the probability together, 0.001 to 1, in thousandths; the answer ends
    before the first of ``stop``, up to 4 texts of 1 to 64 bytes.
    """
    options = _records(top_p, stop)
    if isinstance(messages, str):
        if not options:
            return messages
        messages = [{"role": "user", "content": messages}]
    fault = _fault(messages)
    if fault:
        raise Malformed(fault)
    if len(messages) == 1 and not options:
        return messages[0]["content"]
    return "".join(SEPARATOR + record for record in options + [_LETTERS[message["role"]] + message["content"] for message in messages])


def decode_conversation(prompt: str) -> list[Message]:
    """The messages of a prompt, at least one. The last one is the user's."""
    found = _read(prompt)
    return found[0] if found else [{"role": "user", "content": prompt}]


def options_of(prompt: str) -> Options:
    """The options of a prompt; those that it does not name are left out."""
    found = _read(prompt)
    return found[1] if found else {}


def _read(prompt: str) -> tuple[list[Message], Options] | None:
    """The messages and options of a prompt that is a conversation."""
    if not prompt.startswith(SEPARATOR):
        return None
    messages: list[Message] = []
    options: Options = {}
    for record in prompt[1:].split(SEPARATOR):
        letter, text = record[:1], record[1:]
        if letter in _ROLES:
            messages.append({"role": _ROLES[letter], "content": text})  # type: ignore[typeddict-item]
        elif letter == "p" and not messages and not options and re.fullmatch("[1-9][0-9]{0,2}", text):
            options["top_p"] = int(text) / 1000
        elif letter == "e" and not messages:
            options.setdefault("stop", []).append(text)
        else:
            return None
    if (len(messages) < 2 and not options) or _fault(messages) or _fault_of_stops(options.get("stop", [])):
        return None
    return messages, options


def _records(top_p: float, stop: Sequence[str]) -> list[str]:
    """Records that options are."""
    if not 0.0005 <= top_p <= 1:
        raise Malformed("top_p has to be from 0.001 to 1")
    fault = _fault_of_stops(stop)
    if fault:
        raise Malformed(fault)
    milli = round(top_p * 1000)
    return ([f"p{max(milli, 1)}"] if milli < 1000 else []) + [f"e{text}" for text in stop]


def _fault_of_stops(stop: Sequence[str]) -> str | None:
    if len(stop) <= _MOST_STOPS and all(1 <= len(text.encode()) <= _LONGEST_STOP and SEPARATOR not in text for text in stop):
        return None
    return f"there may be up to {_MOST_STOPS} stop sequences, each of 1 to {_LONGEST_STOP} bytes and without the character U+001E"


def _fault(messages: Sequence[Message]) -> str | None:
    """What is wrong with messages, if anything is."""
    before = None
    for index, message in enumerate(messages):
        role, content = message["role"], message["content"]
        if not content.strip(_WHITE):
            return f"message {index} is empty; leave it out or give it a text"
        if SEPARATOR in content:
            return f"message {index} contains the character U+001E, which separates messages; remove it"
        in_turn = {"system": before is None, "user": before != "user", "assistant": before == "user"}.get(role, False)
        if not in_turn:
            return (
                f"message {index} is out of order: a system message may come first, then user and assistant take turns, "
                "beginning with the user"
            )
        before = role
    if before is None:
        return "there is no message; ask with a message of the user"
    return None if before == "user" else "the last message is not the user's; end with the question"
