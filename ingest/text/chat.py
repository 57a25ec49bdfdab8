"""Conversations: the text that a chat template makes of messages, and who wrote which token.

A template is a program. Where it put each message's content is found by rendering twice: once with
the contents, and once with a unique mark in place of each. What surrounds the marks is what the
template wrote, and the first rendering must be exactly that and the contents, as they are or
without white space at their ends. A template that does anything else to a content is refused.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError, first_line

# Today's date, as templates ask for it. The same command would make another text tomorrow, so it
# is the one that Llama's templates write where they cannot ask. (The newline is not written.)
_DATE = """{% macro strftime_now(how) -%}
{{ {"%Y-%m-%d": "2024-07-26", "%B %d, %Y": "July 26, 2024"}.get(how, "26 Jul 2024") }}
{%- endmacro %}
"""
_SHOWN = 40  # characters of a content in a message


@dataclass(frozen=True)
class Message:
    """One message of a conversation."""

    role: str
    content: str
    others: Mapping[str, Any] = field(default_factory=dict)
    """Further fields, such as tool_calls, which a template may write as well."""


@dataclass(frozen=True)
class Rendered:
    """A conversation as the model sees it."""

    text: str
    spans: list[tuple[int, int]]
    """Of each message's content in the text: characters, end exclusive."""


@dataclass(frozen=True)
class Speakers:
    """Who wrote each token of a conversation; all of shape (tokens,)."""

    role: list[str | None]
    """Role of the message whose content the token covers; None for the template's tokens."""
    turn: list[int | None]
    """Number of that message, from 0. For a token of the template, of the message that it follows;
    None before the first."""
    is_template: np.ndarray
    """bool: the token covers no character of a content."""


def read_messages(value: Any, origin: str) -> tuple[Message, ...]:
    """The messages in a row's column; none for an empty or missing list.

    `origin` says in errors where the row is from. Raises IngestError for anything else than a list
    of objects with a role and a content, both of them text.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise IngestError(
            f"{origin} holds a {type(value).__name__}, expected a list of messages such as "
            '[{"role": "user", "content": "Hello"}]: name another column with --column, or omit '
            "--chat"
        )
    return tuple(_message(one, f"message {n} of {origin}") for n, one in enumerate(value))


def _message(value: Any, origin: str) -> Message:
    if not isinstance(value, dict):
        raise IngestError(
            f"{origin} is a {type(value).__name__}, expected an object with role and content"
        )
    given = {name: found for name, found in value.items() if found is not None}
    for name in ("role", "content"):
        found = given.pop(name, None)
        if not isinstance(found, str):
            what = "no" if found is None else f"a {type(found).__name__} as its"
            fields = ", ".join(sorted(value)) or "none"
            raise IngestError(
                f"{origin} has {what} {name}, expected text (its fields are {fields}): convert it, "
                "or remove the row"
            )
        if not found.strip():
            raise IngestError(f"{origin} has an empty {name}: remove the message or the row")
    return Message(value["role"], value["content"], given)


def render(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, origin: str
) -> Rendered:
    """What the tokenizer's chat template makes of the messages, without a prompt for an answer.

    The date, for templates that write one, is 26 July 2024, so that the text is the same every day.
    Raises IngestError if the template refuses a message, omits, repeats or alters it, or writes
    other fields than role and content.
    """
    text = _apply(tokenizer, [_plain(m) for m in messages], origin)
    if any(m.others for m in messages):
        _refuse_others(messages, text, tokenizer, origin)
    marks = [f"{uuid.uuid4().hex}" for _ in messages]
    plain = [{"role": m.role, "content": mark} for m, mark in zip(messages, marks, strict=True)]
    marked = _apply(tokenizer, plain, origin)
    for number, mark in enumerate(marks):
        if (n := marked.count(mark)) != 1:
            what = "omits" if n == 0 else f"writes {n} times"
            raise IngestError(
                f"the chat template {what} {_name(number, messages, origin)}: remove the row, or "
                "use a tokenizer whose template knows this role"
            )
    return Rendered(text, _spans(text, marked, marks, messages, origin))


def _plain(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": message.content}


def _apply(tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, Any]], origin: str) -> str:
    if tokenizer.chat_template is None:
        raise IngestError(
            "the tokenizer has no chat template, which --chat needs: name a tokenizer that has one "
            "with --tokenizer, or put a chat_template.jinja into its folder"
        )
    try:
        template = tokenizer.get_chat_template()
        dated = _DATE + template if "strftime_now" in template else template
        text = tokenizer.apply_chat_template(messages, chat_template=dated, tokenize=False)
    except Exception as error:  # any error of jinja2 or of the template itself
        roles = ", ".join(m["role"] for m in messages)
        raise IngestError(
            f"the chat template refuses {origin} ({first_line(error)}); its roles are {roles}: "
            "change or remove the row, or use another template"
        ) from error
    return str(text)


def _refuse_others(
    messages: Sequence[Message], text: str, tokenizer: PreTrainedTokenizerBase, origin: str
) -> None:
    """Fields that the template ignores, such as an id, do not matter."""
    for number, message in enumerate(messages):
        for name, value in message.others.items():
            given = [_plain(m) for m in messages]
            given[number][name] = value
            if _apply(tokenizer, given, origin) != text:
                raise IngestError(
                    f"{_name(number, messages, origin)} has a field {name}, which the chat "
                    "template writes: only role and content are supported, so remove the field or "
                    "the row"
                )


def _spans(
    text: str, marked: str, marks: list[str], messages: Sequence[Message], origin: str
) -> list[tuple[int, int]]:
    """Where the contents are in `text`, given the rendering with marks in their place."""
    order = sorted(range(len(marks)), key=lambda n: marked.index(marks[n]))
    places = [marked.index(marks[n]) for n in order]
    ends = [0, *(place + len(marks[n]) for n, place in zip(order, places, strict=True))]
    written = [marked[a:b] for a, b in zip(ends, [*places, len(marked)], strict=True)]
    spans = {}
    at = len(written[0]) if text.startswith(written[0]) else -1
    for number, (_, following) in zip(order, pairwise(written), strict=True):
        found = _written_form(text, at, messages[number].content, following)
        if at < 0 or found is None:
            raise _altered(number, messages, origin)
        spans[number] = (at, at + len(found))
        at += len(found) + len(following)
    if at != len(text):
        raise _altered(order[-1], messages, origin)
    return [spans[n] for n in range(len(marks))]


def _written_form(text: str, at: int, content: str, following: str) -> str | None:
    """The content as it is at `at`, before what follows: whole, or without white space around."""
    forms = (content, content.strip(), content.lstrip(), content.rstrip(), content.strip("\n"))
    return next((form for form in forms if text.startswith(form + following, at)), None)


def _altered(number: int, messages: Sequence[Message], origin: str) -> IngestError:
    return IngestError(
        f"the chat template alters {_name(number, messages, origin)}, so its tokens cannot be "
        "distinguished from the template's: shorten the message to what the template keeps (some "
        "drop <think> sections), or remove the row"
    )


def _name(number: int, messages: Sequence[Message], origin: str) -> str:
    message = messages[number]
    cut = "…" if len(message.content) > _SHOWN else ""
    return f"message {number} ({message.role}: {message.content[:_SHOWN]!r}{cut}) of {origin}"


def speakers(
    messages: Sequence[Message], spans: list[tuple[int, int]], offsets: np.ndarray
) -> Speakers:
    """Attribute the tokens with these character spans, int (tokens, 2), end exclusive.

    A token belongs to the first content of which it covers a character, as in the mask of assistant
    tokens in transformers.
    """
    order = sorted(range(len(spans)), key=lambda n: spans[n])
    starts, ends = (np.array([spans[n][side] for n in order]) for side in (0, 1))
    begin, end = offsets[:, 0], np.maximum(offsets[:, 1], offsets[:, 0] + 1)
    place = np.searchsorted(ends, begin, side="right")  # the first content that ends after begin
    inside = (place < len(order)) & (starts[np.minimum(place, len(order) - 1)] < end)
    of_token = np.where(inside, place, place - 1).tolist()
    turn = [None if at < 0 else order[at] for at in of_token]
    role = [
        messages[n].role if is_inside and n is not None else None
        for n, is_inside in zip(turn, inside.tolist(), strict=True)
    ]
    return Speakers(role, turn, ~inside)


def writes_bos(tokenizer: PreTrainedTokenizerBase, bos_id: int | None) -> bool:
    """Does the template itself begin every conversation with the token `bos_id`?

    Raises IngestError if there is no template, or one that refuses the simplest conversations.
    """
    hello = {"role": "user", "content": "Hello"}
    try:
        text = _apply(tokenizer, [hello], "a conversation of one user message")
    except IngestError:
        system = {"role": "system", "content": "Answer."}
        text = _apply(tokenizer, [system, hello], "a conversation of a system and a user message")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return bos_id is not None and ids[:1] == [bos_id]
