"""What a killed sweep knows itself by: the same in every process, and another one where the model is another."""

import dataclasses
import functools
import json
from collections.abc import Callable

import jax
import numpy as np
import pytest
from flax import nnx

import constraints as ct
import faro
from faro import models, sweep
from faro.errors import UsageError
from faro.store.fingerprint import describe, fingerprint
from faro.training import Settings

NET = "lambda rngs: nnx.Linear(WIDTH, {}, rngs=rngs)"


def net(text, **names):
    """A model of a function that is made anew, as every process makes it."""
    return models.FlaxModel(eval(text, {"nnx": nnx, "WIDTH": 7, "functools": functools, **names}))


@pytest.mark.parametrize(
    "text",
    [NET.format(1), "functools.partial(lambda n, rngs: n, 3)", "(lambda n: lambda rngs: n in {'a', 'b', 3})(5)", "len"],
)
def test_the_same_text_is_the_same_model(text):
    assert fingerprint(net(text)) == fingerprint(net(text))
    assert "0x" not in str(describe(net(text)))


def test_other_models_are_others():
    things = [
        *(net(NET.format(width)) for width in (1, 2)),
        *(net(f"(lambda n: lambda rngs: n)({n})") for n in (1, 2, 3.0)),
        *(net(f"functools.partial(lambda n, rngs: n, {n})") for n in (1, 2)),
        models.Linear(),
        models.Linear(0.5),
        models.MLP(),
        *(ct.rate_cap(None, bound) for bound in (0.1, 0.2)),
        np.arange(3),
        np.arange(3.0),
        np.arange(4),
        jax.nn.relu,
        jax.nn.gelu,
        {"a": 1},
        {"a": [1]},
        None,
    ]
    assert len({fingerprint(thing) for thing in things}) == len(things)


@dataclasses.dataclass(frozen=True)
class Ruled(models.Model):
    """Rewards by a function of the features."""

    rule: Callable

    def init(self, key, spec):
        return jax.numpy.ones(spec.items.shape[-1:])

    def apply(self, params, choices):
        return self.rule(choices.items) @ params


@pytest.mark.slow
def test_a_killed_sweep_of_a_lambda_goes_on(tmp_path):
    data = dataclasses.replace(faro.load("demo"), population=None)
    constraint = ct.demographic_parity(data.attributes["dialect"])
    how = {"bounds": [0.1], "seeds": 1, "settings": Settings(steps=20), "folder": tmp_path / "out"}

    def go(text, progress=lambda done, total: None):
        return sweep.frontier(data, constraint, model=Ruled(eval(text)), progress=progress, **how)

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go("lambda items: 2 * items", stop)
    run = go("lambda items: 2 * items")
    assert "start" in run.manifest["resumed"] and run.manifest["resumed"][0] == "seed0.ridge"
    again = go("lambda items: 2 * items")
    assert again.reused and again.table["train_gap"].tolist() == run.table["train_gap"].tolist()
    assert "0x" not in json.dumps(run.manifest)
    with pytest.raises(UsageError, match="another finished run"):
        go("lambda items: 3 * items")
