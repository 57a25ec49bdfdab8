"""Conversations: the template's text to the character, who wrote which token, and one BOS."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from ingest.errors import IngestError
from ingest.options import RunOptions
from ingest.recorder import Recorder
from ingest.text.chat import Message, read_messages, render, speakers, writes_bos
from ingest.verify import verify
from queries import Store
from store.layout import Layout
from tests.ingest.conftest import Ingest
from tests.models import CONTEXT, END, byte_level, metaspace, tiny

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As in Llama 2: the BOS, the system message inside the first user message, contents trimmed.
LLAMA_2 = (
    "{% if messages[0].role == 'system' %}{% set system = '<<SYS>>\n' + messages[0].content + "
    "'\n<</SYS>>\n\n' %}{% set rest = messages[1:] %}{% else %}{% set system = '' %}"
    "{% set rest = messages %}{% endif %}{% for m in rest %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{% if m.role == 'user' %}{{ bos_token + '[INST] ' + (system if loop.first else '') + "
    "m.content.strip() + ' [/INST]' }}{% else %}{{ ' ' + m.content | trim + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
# As in Qwen 3 and DeepSeek: earlier thoughts are dropped. Other roles are ignored.
DROPS_THOUGHTS = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ 'A:' + m.content.split('</think>')"
    "[-1] }}{% elif m.role == 'user' %}{{ 'U:' + m.content }}{% endif %}{% endfor %}"
)
WITH_TOOLS = (
    "{% for m in messages %}{{ m.role + ': ' + m.content }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}\n{% endfor %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ '|' + m.content }}{% endfor %}"
TALK = (
    Message("system", "Be brief."),
    Message("user", " Who met the Congress?\n"),
    Message("assistant", "The President — naïve 🎉."),
    Message("user", "Why?"),
    Message("assistant", "He said, the war's end is the President's to declare.\n\nNaïve readers."),
)


def with_template(
    template: str | None, tokenizer: PreTrainedTokenizerFast | None = None
) -> PreTrainedTokenizerFast:
    tokenizer = tokenizer or byte_level()
    tokenizer.chat_template = template
    return tokenizer


def dicts(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in messages]


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("template", [CHATML, LLAMA_2, DROPS_THOUGHTS, WITH_TOOLS, DATED])
def test_contents_are_found_where_the_template_put_them(template: str) -> None:
    tokenizer = with_template(template)
    messages = TALK[1:] if template is DROPS_THOUGHTS else TALK
    found = render(messages, tokenizer, "a talk")
    assert template is DATED or found.text == tokenizer.apply_chat_template(
        dicts(messages), tokenize=False
    )
    contents = [found.text[start:end] for start, end in found.spans]
    trimmed = template is LLAMA_2
    assert contents == [m.content.strip() if trimmed else m.content for m in messages]
    assert template is not DATED or found.text.startswith("26 Jul 2024|Be brief.")


@pytest.mark.parametrize("tokenizer", [byte_level(), metaspace()])
@pytest.mark.parametrize("template", [CHATML, LLAMA_2])
def test_a_token_is_of_the_message_whose_characters_it_covers(
    template: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Against a loop over the characters; and against the mask of transformers."""
    tokenizer.bos_token = tokenizer.bos_token or tokenizer.eos_token
    found = render(TALK, with_template(template, tokenizer), "a talk")
    encoded = tokenizer(found.text, add_special_tokens=False, return_offsets_mapping=True)
    offsets = np.array(encoded["offset_mapping"])
    wrote = speakers(TALK, found.spans, offsets)
    for (start, end), role, turn, is_template in zip(
        offsets.tolist(), wrote.role, wrote.turn, wrote.is_template.tolist(), strict=True
    ):
        covered = range(start, max(end, start + 1))
        owners = [n for c in covered for n, (a, b) in enumerate(found.spans) if a <= c < b]
        before = [n for n, (_, b) in enumerate(found.spans) if b <= start]
        assert is_template == (not owners)
        assert role == (TALK[owners[0]].role if owners else None)
        assert turn == (owners[0] if owners else max(before, default=None))
    if template is CHATML:
        marked = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == "
        marked += "'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}"
        marked += "{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
        theirs = with_template(marked, tokenizer).apply_chat_template(
            dicts(TALK), return_dict=True, return_assistant_tokens_mask=True
        )
        assert theirs["input_ids"] == encoded["input_ids"]
        assert theirs["assistant_masks"] == [int(role == "assistant") for role in wrote.role]


THOUGHT = (Message("user", "Why?"), Message("assistant", "<think>So.</think>Because."))
CALL = (Message("assistant", "Look.", {"tool_calls": [{"name": "f"}], "id": 7}),)


@pytest.mark.parametrize(
    ("template", "messages", "sentence"),
    [
        (None, TALK, "has no chat template, which --chat needs"),
        (LLAMA_2, TALK[2:], "refuses a talk .roles must alternate user/assistant.; its roles are"),
        (DROPS_THOUGHTS, TALK, r"omits message 0 .system: 'Be brief.'. of a talk"),
        (DROPS_THOUGHTS, THOUGHT, r"alters message 1 .assistant: '<think>So.</think>Because.'"),
        (CHATML.replace("m.content", "m.content * 2"), TALK, "writes 2 times message 0"),
        (CHATML.replace("m.content", "m.content.upper()"), TALK, "(omits|alters) message 0"),
        (CHATML.replace("m.content", "m.content[:40]"), TALK, "alters message 4"),
        (WITH_TOOLS, CALL, "has a field tool_calls, which the chat template writes"),
    ],
)
def test_what_cannot_be_attributed_is_refused(
    template: str | None, messages: tuple[Message, ...], sentence: str
) -> None:
    with pytest.raises(IngestError, match=sentence):
        render(messages, with_template(template), "a talk")


def test_fields_that_the_template_ignores_do_not_matter() -> None:
    assert render(CALL, with_template(CHATML), "a talk").spans == [(22, 27)]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("text", "holds a str, expected a list of messages"),
        ([["user", "Hello"]], "message 0 of t is a list, expected an object with role and content"),
        ([{"from": "human", "value": "x"}], "has no role, expected text .its fields are from, val"),
        ([{"role": "user", "content": None}], "has no content, expected text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "has a list as its content"),
        ([{"role": "user", "content": " \n"}], "has an empty content: remove the message"),
    ],
)
def test_what_is_no_conversation_is_refused(column: Any, sentence: str) -> None:
    with pytest.raises(IngestError, match=sentence):
        read_messages(column, "t")


@pytest.fixture
def chats(tmp_path: Path) -> Path:
    """A long conversation, and one whose other columns have the names of ours."""
    short = {"messages": dicts(TALK[1:3]), "id": "b", "role": "x", "roles": 3, "good": True}
    return write(tmp_path / "c.jsonl", {"messages": dicts(TALK * 2), "id": "a"}, short)


@pytest.mark.parametrize("template", [CHATML, LLAMA_2.replace("!=", "==  9 and")])
def test_a_run_and_a_recording_mark_roles_and_turns(
    tmp_path: Path, ingest: Ingest, chats: Path, template: str
) -> None:
    tokenizer = with_template(template)
    model = tiny("llama", len(tokenizer))
    model.save_pretrained(tmp_path / "run" / "checkpoint-1")
    tokenizer.save_pretrained(tmp_path / "run" / "checkpoint-1")
    given = ["--text", chats, "--chat", "--store", tmp_path / "s"]
    assert ingest("run", tmp_path / "run", *given).status == 0
    options = RunOptions(chat=True, name="run")
    Recorder(tmp_path / "r", chats, tokenizer, CONTEXT, options=options).record(model, 1)
    scored, recorded = (pq.read_table(Layout(tmp_path / name).tokens) for name in "sr")
    assert scored.equals(recorded) and verify(tmp_path / "s") == verify(tmp_path / "r") == []

    store = Store(tmp_path / "s")
    docs = store.sql("from docs order by doc")
    assert docs["roles"].iloc[-1] == '["user", "assistant"]'
    assert docs[["meta_role", "meta_roles", "good"]].iloc[-1].tolist() == ["x", 3, True]
    assert store.manifest.bos == (None if template is CHATML else END)
    said = store.sql(
        "select source, turn, any_value(role) as role, string_agg(token_str, '' order by row) as s"
        " from tokens where not is_template group by all order by source, turn"
    )
    assert said["role"].tolist() == [m.role for m in (*TALK * 2, *TALK[1:3])]
    trajectory = store.trajectories({"a": "role = 'assistant'"})
    assert trajectory["n_tokens"].tolist() == [scored["role"].to_pylist().count("assistant")]


@pytest.mark.parametrize("no_bos", [False, True])
def test_a_template_that_writes_the_bos_gets_no_second_one(
    tmp_path: Path, ingest: Ingest, chats: Path, no_bos: bool
) -> None:
    template = CHATML.replace("{% for", "{{ bos_token }}{% for", 1)
    tokenizer = with_template(template)
    assert writes_bos(tokenizer, 0) and not writes_bos(with_template(CHATML), 0)
    tokenizer = with_template(template)
    tiny("gpt2", len(tokenizer)).save_pretrained(tmp_path / "run" / "checkpoint-1")
    tokenizer.save_pretrained(tmp_path / "run" / "checkpoint-1")
    given = ["--text", chats, "--chat", "--store", tmp_path / "s", "--max-parts", 1]
    assert ingest("run", tmp_path / "run", *given, *["--no-bos"] * no_bos).status == 0
    tokens = pq.read_table(Layout(tmp_path / "s").tokens).to_pandas()
    for doc, messages in enumerate((TALK * 2, TALK[1:3])):
        seen = tokenizer.apply_chat_template(dicts(messages), return_dict=True)["input_ids"]
        assert seen[0] == 0 and seen[1] != 0  # what a chat model is given
        of_doc = tokens[tokens["doc"] == doc]
        assert of_doc["position"].tolist() == list(range(1, len(of_doc) + 1))
        assert of_doc["token_id"].tolist() == seen[1:CONTEXT][: len(of_doc)]
        assert len(of_doc) == min(len(seen), CONTEXT) - 1
    texts = pq.read_table(Layout(tmp_path / "s").docs)["text"].to_pylist()
    assert all(t.startswith(END * no_bos + "<|im_start|>") for t in texts)


def test_parquet_holds_conversations_and_other_texts_are_refused(
    tmp_path: Path, ingest: Ingest
) -> None:
    tokenizer = with_template(CHATML)
    tiny("gpt2", len(tokenizer)).save_pretrained(tmp_path / "run" / "checkpoint-1")
    tokenizer.save_pretrained(tmp_path / "run" / "checkpoint-1")
    table = pa.table({"chosen": [dicts(TALK), [], dicts(TALK[1:3])]})
    pq.write_table(table, tmp_path / "c.parquet")
    (tmp_path / "t.txt").write_text("text")
    run = ["run", tmp_path / "run", "--chat", "--store", tmp_path / "s", "--text"]
    ended = ingest(*run, tmp_path / "c.parquet", "--column", "chosen")
    assert ended.status == 0
    assert "1 of 3 documents holds no text" in ended.error
    assert "has no columns, but --chat needs one" in ingest(*run, tmp_path / "t.txt").error
    assert "no column 'messages'" in ingest(*run, tmp_path / "c.parquet").error
    plain = ingest(*[a for a in run if a != "--chat"], tmp_path / "c.parquet", "--column", "chosen")
    assert "holds a list, expected text: name another with --column, or add --chat" in plain.error
    write(tmp_path / "p.jsonl", {"text": "The Congress met."})
    other = ingest(*[a for a in run if a != "--chat"], tmp_path / "p.jsonl", "--no-bos")
    assert "was made with another --chat" in other.error
