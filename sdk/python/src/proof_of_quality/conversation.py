"""Conversations as prompts: the encoding of ``poq_primitives::conversation``."""

from collections.abc import Sequence
from typing import Literal, TypedDict

#: Stands before each message of a conversation; no text of a conversation may contain it.
SEPARATOR = "\u001e"

_LETTERS = {"system": "s", "user": "u", "assistant": "a"}
_ROLES = {letter: role for role, letter in _LETTERS.items()}
# White space as Unicode has it; Python's own adds U+001C to U+001F.
_WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"


class Message(TypedDict):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Malformed(ValueError):
    """Messages that cannot be a prompt; the text says what to do."""


def encode_conversation(messages: str | Sequence[Message]) -> str:
    """The prompt that a question or messages are. A single message of the user is plain text, as a question is."""
    if isinstance(messages, str):
        return messages
    fault = _fault(messages)
    if fault:
        raise Malformed(fault)
    if len(messages) == 1:
        return messages[0]["content"]
    return "".join(SEPARATOR + _LETTERS[message["role"]] + message["content"] for message in messages)


def decode_conversation(prompt: str) -> list[Message]:
    """The messages of a prompt, at least one. The last one is the user's."""
    plain: list[Message] = [{"role": "user", "content": prompt}]
    if not prompt.startswith(SEPARATOR):
        return plain
    records = prompt[1:].split(SEPARATOR)
    if any(record[:1] not in _ROLES for record in records):
        return plain
    messages: list[Message] = [{"role": _ROLES[record[0]], "content": record[1:]} for record in records]  # type: ignore[typeddict-item]
    return messages if len(messages) > 1 and not _fault(messages) else plain


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
