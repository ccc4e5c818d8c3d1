"""Programs that are traced once for all processes: what they are known by, and what is traced again."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from constraints import Statistics
from faro import models
from faro.losses import Mean
from faro.runtime import devices, programs
from faro.runtime.programs import Program
from faro.training import Game, Settings


class Mine(NamedTuple):
    """A pytree of somebody's own."""

    a: object


@dataclasses.dataclass(frozen=True)
class MyModel(models.Linear):
    """A model of somebody's own."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "_kept", [tmp_path])
    return tmp_path


def traced(known, function, *args, **how):
    """What a new process gets of a program: how often it was traced, and the result."""
    count = []

    def counted(*own):
        count.append(1)
        return function(*own)

    return len(count), Program(counted, known=known, **how)(*args), len(count)


def sums(key, numbers):
    found = {"b": Statistics(numbers["x"].sum(0), (None, [jax.random.uniform(key)]))}
    return found, key, jnp.linalg.inv(numbers["x"].T @ numbers["x"])


ARGS = (jax.random.key(3), {"x": np.arange(6.0, dtype=np.float32).reshape(3, 2), "none": None})


def test_a_program_is_traced_once_and_gives_the_same_bytes(folder):
    _, first, often = traced("sums", sums, *ARGS)
    assert often == 1 and len(list(folder.iterdir())) == 1
    _, again, often = traced("sums", sums, *ARGS)
    assert often == 0
    assert jax.tree.structure(first) == jax.tree.structure(again) == jax.tree.structure(sums(*ARGS))
    plainly = [(own[0], jax.random.key_data(own[1]), own[2]) for own in (first, again, sums(*ARGS))]
    for one, same, plain in zip(*map(jax.tree.leaves, plainly), strict=True):
        np.testing.assert_array_equal(one, same)
        np.testing.assert_allclose(one, plain, rtol=1e-5)


@pytest.mark.slow
def test_what_it_follows_from_is_in_its_name(folder, monkeypatch):
    """Another identity, shape, type or configuration, other XLA options, another text of the code: traced again."""
    wider = {**ARGS[1], "x": np.ones((4, 2), np.float32)}
    game = [Game(models.Linear(), Settings(steps=steps)) for steps in (7, 8)]
    for known, args in (("a", ARGS), ("b", ARGS), ("a", (ARGS[0], wider)), (game[0], ARGS), (game[1], ARGS)):
        assert traced(known, sums, *args)[2] == 1 and traced(known, sums, *args)[2] == 0
    with jax.enable_x64(True):
        assert traced("a", sums, *ARGS)[2] == 1
    quick = devices.options()
    assert not quick or traced("a", sums, *ARGS, options=quick)[2] == 1
    monkeypatch.setattr(programs, "_code", lambda: "a newer faro")
    assert traced("a", sums, *ARGS)[2] == 1


@pytest.mark.parametrize(
    "known", [None, MyModel(), Game(MyModel()), Mine(1), lambda: 0, np.zeros(2), Mean(loss=object())]
)
def test_what_is_not_known_by_its_value_is_not_kept(folder, known):
    assert traced(known, jnp.sum, np.ones(2))[2] == 1 and traced(known, jnp.sum, np.ones(2))[2] == 1
    assert not list(folder.iterdir())


def test_pytrees_of_others_are_not_kept(folder):
    for function, given in ((lambda own: own.a, Mine(np.ones(2))), (Mine, np.ones(2)), (jnp.sum, 1.5)):
        assert traced("x", function, given)[2] == 1 and traced("x", function, given)[2] == 1
    assert not list(folder.iterdir())


def test_a_damaged_trace_is_made_anew(folder):
    whole = traced("sums", sums, *ARGS)[1]
    (file,) = folder.iterdir()
    text = file.read_bytes()
    for damage in (b"", b"{}", text[:200], text[:-1] + b"x", text.replace(b"Statistics", b"Statistic2")):
        file.write_bytes(damage)
        _, found, often = traced("sums", sums, *ARGS)
        assert often == 1
        np.testing.assert_array_equal(found[2], whole[2])
    assert traced("sums", sums, *ARGS)[2] == 0


def test_consumed_inputs_are_gone(folder):
    for _ in range(2):
        given = jnp.ones(1000)
        assert traced("add", lambda own: own + 1, given, consumed=(0,))[1].sum() == 2000
        assert given.is_deleted()
