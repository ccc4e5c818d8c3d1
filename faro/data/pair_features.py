"""Which vectors stand for an answer to a prompt: its own, of both read together, both of these, or products.

    answer      the answer's vector; the prompt is not read
    together    prompt and answer read as one text
    both        the two beside each other
    products    the answer's vector, and beside it its product with the prompt's, number by number

Of itself a prompt is no difference between two answers to it: only together with them, or as a factor, can it matter
which answer suits it.
"""

from __future__ import annotations

import dataclasses

from faro.errors import UsageError

from .preferences import ANSWER
from .schema import Schema
from .specs import TextSpec

PROMPT = "prompt"
FORMS = ("answer", "together", "both", "products")


def with_pairs(schema: Schema, form: str, where: str) -> Schema:
    """The schema of a table of answers, whose pairs have these features.

    schema: with a text `answer`, or a table's that has a column `prompt` as well
    form: one of `FORMS`
    where: what messages call the table

    `UsageError` for another form, and for a schema without answers.
    """
    if form not in FORMS:
        raise UsageError(f"pairs: expected {', '.join(FORMS[:-1])} or {FORMS[-1]}, got {form!r}")
    own = next((spec for spec in schema.texts if spec.name == ANSWER), None)
    if own is None:
        raise UsageError(f"pairs: {where} has no answers to prompts, whose features could be chosen")
    answer = dataclasses.replace(own, after="", times="")
    together = dataclasses.replace(answer, after=PROMPT)
    made: dict[str, tuple[TextSpec, ...]] = {
        "answer": (answer,),
        "together": (together,),
        "both": (answer, dataclasses.replace(together, name=f"{ANSWER}_after_{PROMPT}", column=ANSWER)),
        "products": (answer, dataclasses.replace(answer, name=f"{ANSWER}_times_{PROMPT}", column=ANSWER, times=PROMPT)),
    }
    return schema.replace(texts=(*made[form], *(spec for spec in schema.texts if spec is not own)))
