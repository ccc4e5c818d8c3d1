"""Dialogues taken apart into prompt and answers: messages `[{role, content}]`, and texts of `Human:` and `Assistant:`.

A dialogue of one message is its content. One of more is read by the chat template of the encoder's folder: `Template`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from faro.errors import DataError, UsageError

from .tokens import NEEDED

Messages: TypeAlias = list[dict[str, str]]
Side: TypeAlias = str | Messages
MARK = "\n\nAssistant:"  # before every answer of a dialogue that is one string
ROLES = ("system", "user", "assistant", "tool")


def side(cell: Any, where: str) -> Side:
    """A cell as a text, or as messages in order; `DataError` for anything else.

    cell: a text, or a list of objects with a role and a content
    where: what messages call it
    """
    if isinstance(cell, str):
        return cell
    if not isinstance(cell, Sequence) and hasattr(cell, "tolist"):
        cell = cell.tolist()  # as Arrow gives lists
    if not isinstance(cell, list | tuple):
        shown = "nothing" if pd.isna(cell) is True else ascii(cell)[:40]
        raise DataError(f"{where}: expected a text or a list of messages, got {shown}")
    messages = []
    for number, message in enumerate(cell, 1):
        role, content = (message.get(key) for key in ("role", "content")) if isinstance(message, Mapping) else (0, 0)
        if isinstance(content, list):  # parts, of which texts are read
            content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
        if role not in ROLES or not isinstance(content, str):
            kinds = f"role (one of {', '.join(ROLES)}) and content"
            raise DataError(f"{where}: message {number}: expected {kinds}, got {ascii(message)[:60]}")
        messages.append({"role": role, "content": content})
    return messages


def ordered(messages: Messages, where: str) -> None:
    """`DataError` unless a system message comes first alone and users and assistants take turns.

    messages: of a whole dialogue
    where: what messages call it
    """
    spoken = [message["role"] for message in messages]
    spoken = spoken[1:] if spoken[:1] == ["system"] else spoken
    before = ""
    for role in spoken:
        follows = {"user": ("", "assistant"), "assistant": ("", "user", "tool"), "tool": ("assistant", "tool")}
        if role == "system" or before not in follows[role]:
            after = f"after {before}" if before else "first"
            raise DataError(f"{where}: roles out of order: {role} {after}; user and assistant take turns")
        before = role


def separated(chosen: Side, rejected: Side, where: str) -> tuple[Side, Side, Side]:
    """(prompt, chosen, rejected) of two whole dialogues: what both begin with is the prompt, "" where that is nothing.

    chosen, rejected: both texts or both messages. Of texts the prompt ends with the last `Assistant:` that they share
    where: what messages call them
    """
    if isinstance(chosen, str) and isinstance(rejected, str):
        alike = (one == other for one, other in zip(chosen, rejected, strict=False))
        at = chosen[: sum(1 for _ in itertools.takewhile(bool, alike))].rfind(MARK)
        if at < 0:
            return "", chosen, rejected
        end = at + len(MARK)
        return chosen[:end].strip(), chosen[end:].strip(), rejected[end:].strip()
    if isinstance(chosen, str) or isinstance(rejected, str):
        raise DataError(f"{where}: one side is a text and the other a list of messages; write both alike")
    same = 0
    while same < min(len(chosen), len(rejected)) and chosen[same] == rejected[same]:
        same += 1
    while same and chosen[same - 1]["role"] == "assistant" and same == min(len(chosen), len(rejected)):
        same -= 1  # two equal answers are answers still
    return chosen[:same] or "", chosen[same:], rejected[same:]


def checked(prompt: Side, answer: Side, where: str) -> None:
    """`DataError` for an answer of messages that has no turn of the assistant, or does not go on from its prompt.

    prompt, answer: texts or messages
    where: what messages call the answer
    """
    if isinstance(answer, str):
        return
    if not any(message["role"] == "assistant" for message in answer):
        raise DataError(f"{where}: no turn of the assistant among its {len(answer)} messages")
    before = [{"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt else prompt or []
    ordered([*(before if isinstance(before, list) else []), *answer], where)


def brief(dialogue: Side) -> Side:
    """A dialogue of one message as its content, any other as it is.

    dialogue: a text or messages
    """
    if not isinstance(dialogue, str) and len(dialogue) == 1:
        return dialogue[0]["content"]
    return dialogue


def identity(dialogue: Side) -> str:
    """One text that two dialogues share if they are equal.

    dialogue: a text or messages
    """
    return dialogue if isinstance(dialogue, str) else json.dumps(dialogue, sort_keys=True)


class Template:
    """The chat template of a folder: chat_template.jinja, or the one in tokenizer_config.json.

    folder: of the encoder

    `DataError` where there is none, or it does not render; `UsageError` without the package `jinja2`.
    """

    def __init__(self, folder: Path):
        self.where = str(folder)
        config: dict[str, Any] = {}
        try:
            if (folder / "tokenizer_config.json").is_file():
                config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ValueError(f"tokenizer_config.json: expected an object, got {ascii(config)[:40]}")
            source = config.get("chat_template")
            if (folder / "chat_template.jinja").is_file():
                source = (folder / "chat_template.jinja").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise DataError(f"{folder}: its chat template cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(source, str):
            raise DataError(
                f"{folder}: no chat template, which a dialogue of several messages needs: put chat_template.jinja there"
            )
        try:
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError as error:
            raise UsageError(NEEDED.replace("tokenizers", "jinja2")) from error

        def refuse(message: str) -> None:
            raise ValueError(message)

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = refuse
        special = {name: token for name, token in config.items() if name.endswith("_token")}
        self._special = {
            name: token.get("content", "") if isinstance(token, dict) else token for name, token in special.items()
        }
        try:
            self._template = environment.from_string(source)
        except Exception as error:  # whatever jinja raises of a template
            raise DataError(f"{folder}: its chat template is damaged: {' '.join(str(error).split())}") from error

    def __call__(self, dialogue: Side) -> str:
        """A dialogue as one text.

        dialogue: a text, which is itself, or messages
        """
        if isinstance(dialogue, str):
            return dialogue
        try:
            return self._template.render(messages=dialogue, add_generation_prompt=False, **self._special)
        except Exception as error:  # also what the sandbox forbids
            raise DataError(
                f"{self.where}: its chat template refuses a dialogue: {' '.join(str(error).split())}"
            ) from error
