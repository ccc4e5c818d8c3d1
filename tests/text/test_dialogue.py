"""Dialogues: what two of them begin with is the prompt; roles take turns; templates render in a sandbox."""

from __future__ import annotations

import json

import numpy as np
import pytest

from faro.errors import DataError, UsageError
from faro.text.dialogue import Template, brief, checked, identity, ordered, separated, side


def said(*roles: str, last: str = "x") -> list[dict[str, str]]:
    contents = [f"{number}" for number in range(len(roles) - 1)] + [last]
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]


def test_the_shared_beginning_of_two_texts_ends_with_an_assistants_mark():
    start = "\n\nHuman: a?\n\nAssistant: b\n\nHuman: c?\n\nAssistant:"
    assert separated(f"{start} yes", f"{start} no", "here") == (start.strip(), "yes", "no")
    early = "\n\nHuman: a?\n\nAssistant: b\n\nHuman: other?\n\nAssistant: no"
    prompt, chosen, rejected = separated(f"{start} yes", early, "here")
    assert prompt == "Human: a?\n\nAssistant:" and chosen.endswith("yes") and rejected.startswith("b")
    assert separated("The sky is blue.", "The sky is green.", "here")[0] == ""


def test_the_shared_beginning_of_two_lists_of_messages():
    chosen, rejected = said("user", "assistant", last="yes"), said("user", "assistant", last="no")
    assert separated(chosen, rejected, "here") == (chosen[:1], chosen[1:], rejected[1:])
    assert separated(chosen, chosen, "here") == (chosen[:1], chosen[1:], chosen[1:])
    with pytest.raises(DataError, match=r"one side is a text and the other a list"):
        separated(chosen, "no", "here")


def test_a_cell_is_a_text_or_messages():
    assert side("a", "here") == "a"
    parts = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}
    ]
    assert side(np.array(parts, object), "here") == [{"role": "user", "content": "ab"}]
    assert brief(side(parts, "here")) == "ab" and brief(said("user", "assistant")) == said("user", "assistant")
    assert identity("a") == "a" and identity(said("user")) == json.dumps([{"content": "x", "role": "user"}])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (None, "expected a text or a list of messages, got nothing"),
        (3, "got 3"),
        ([{"role": "robot", "content": "a"}], r"message 1: expected role \(one of system, user"),
        ([{"role": "user"}], "message 1: expected role"),
        (["a"], "message 1: expected role"),
    ],
)
def test_other_cells_are_refused(cell, reason):
    with pytest.raises(DataError, match=f"here: .*{reason}|here: {reason}"):
        side(cell, "here")


def test_roles_take_turns():
    ordered(said("system", "user", "assistant", "tool", "assistant", "user"), "here")
    for roles, reason in (
        (("user", "user"), "user after user"),
        (("user", "system"), "system after user"),
        (("user", "assistant", "assistant"), "assistant after assistant"),
        (("tool",), "tool first"),
    ):
        with pytest.raises(DataError, match=f"roles out of order: {reason}"):
            ordered(said(*roles), "here")


def test_an_answer_goes_on_from_its_prompt_and_has_a_turn_of_the_assistant():
    checked("a?", said("assistant"), "here")
    checked(said("system", "user"), said("assistant", "user", "assistant"), "here")
    with pytest.raises(DataError, match=r"no turn of the assistant among its 1 messages"):
        checked("a?", said("user"), "here")
    with pytest.raises(DataError, match=r"user after user"):
        checked(said("user"), said("user", "assistant"), "here")


def folder(path, template=None, **config):
    (path / "tokenizer_config.json").write_text(json.dumps(config | ({"chat_template": template} if template else {})))
    return path


PLAIN = "{% for m in messages %}\n{{ bos_token }}{{ m.role }}: {{ m.content }}\n{% endfor %}\n"


def test_a_template_renders_messages(tmp_path):
    template = Template(folder(tmp_path, PLAIN, bos_token={"content": "<s>"}))
    assert template(said("user", "assistant")) == "<s>user: 0\n<s>assistant: x\n"
    assert template("as it is") == "as it is"
    (tmp_path / "chat_template.jinja").write_text("{{ messages | length }}")
    assert Template(tmp_path)(said("user", "assistant")) == "2"


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception('no system') }}",
        "{{ unknown() }}",
    ],
)
def test_what_a_template_may_not_do_is_refused(tmp_path, template):
    made = Template(folder(tmp_path, template))
    with pytest.raises(DataError, match=r"its chat template refuses a dialogue"):
        made(said("user", "assistant"))


def test_a_missing_or_damaged_template_is_said(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no chat template, which a dialogue of several messages needs"):
        Template(tmp_path)
    with pytest.raises(DataError, match=r"its chat template is damaged"):
        Template(folder(tmp_path, "{% for %}"))
    (tmp_path / "tokenizer_config.json").write_text("[]")
    with pytest.raises(DataError, match=r"cannot be read: tokenizer_config.json: expected an object, got \[\]"):
        Template(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "jinja2.sandbox", None)
    with pytest.raises(UsageError, match=r"needs the package jinja2: pip install"):
        Template(folder(tmp_path, PLAIN))
