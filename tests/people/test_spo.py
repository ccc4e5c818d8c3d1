"""SPO scaling: the mean of chances by hand, no other order, one scale for people of any sharpness, what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import special

import faro
from constraints import group_error
from faro.cli import main
from faro.data.support import support_sets
from faro.errors import DataError, UsageError
from faro.models import VPL, Calibrated, Neighbours, predict
from faro.people import spo

from ..builders.opinions import SCHEMA, votes


@pytest.fixture(scope="module")
def trained():
    data = faro.load("demo")
    return data, faro.train(data, attribute="dialect", bound=0.1, settings={"steps": 30})


def test_the_mean_of_chances_by_hand_and_no_other_order(trained, tmp_path, capsys):
    data, base = trained
    own = spo.fit(base, data, 7)
    choices = data.choices(base.coding, np.arange(40))
    taste = np.asarray(base.params["item"]) + choices.context @ np.asarray(base.params["cross"]).T
    against = taste @ np.asarray(own.params["against"]).T  # [n, M]
    plain, scaled = base.rewards(data), own.rewards(data)
    shown = np.einsum("nkd,nd->nk", choices.items, taste)
    np.testing.assert_allclose(scaled[:40], special.expit(shown[..., None] - against[:, None]).mean(-1), atol=1e-5)
    assert scaled.min() >= 0 and scaled.max() <= 1
    np.testing.assert_array_equal(np.argsort(scaled, 1), np.argsort(plain, 1))
    own.save(tmp_path / "own")
    again = faro.load_model(tmp_path / "own.json")
    assert again.model == own.model
    np.testing.assert_array_equal(again.rewards(data), scaled)
    base.save(tmp_path / "base")
    assert (
        main(
            [
                "calibrate",
                str(tmp_path / "base.json"),
                "--data",
                "demo",
                "--spo",
                "7",
                "--out",
                str(tmp_path / "m.json"),
            ]
        )
        == 0
    )
    said = " ".join(capsys.readouterr().out.split())
    assert "rewards in [0, 1]" in said and "no decision by argmax changes" in said
    large = {name: 1e4 * np.asarray(leaf) for name, leaf in base.params.items()}  # chances of 1, which are ties
    dataclasses.replace(base, params=large).save(tmp_path / "base")
    words = ["calibrate", str(tmp_path / "base.json"), "--data", "demo", "--spo", "2", "--out"]
    assert main([*words, str(tmp_path / "large.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] > 0
    np.testing.assert_array_equal(faro.load_model(tmp_path / "m.json").rewards(data), scaled)


def test_ten_times_the_reward_is_no_ten_times_the_say(trained):
    """Where everybody is sharp a reward is how many references it beats, whoever is ten times sharper."""
    data, base = trained
    sharp = [
        dataclasses.replace(base, params={name: times * np.asarray(leaf) for name, leaf in base.params.items()})
        for times in (100.0, 1000.0)
    ]
    plain = [own.rewards(data) for own in sharp]
    scaled = [spo.fit(own, data).rewards(data) for own in sharp]
    assert np.abs(plain[1]).mean() > 9 * np.abs(plain[0]).mean()
    assert np.abs(scaled[1] - scaled[0]).mean() < 0.02


@pytest.mark.slow
def test_of_a_person_it_is_what_the_model_says_of_pairs():
    """Of a model with probabilities of its own: those of the pair of an alternative and a reference, by the person."""
    data = faro.load("demo-people")
    settings = {"steps": 20, "weight_decay": 1e-3}
    free = group_error(data.attributes["community"], bound=float("inf"))
    base = faro.train(data, free, model=VPL(support=4), settings=settings)
    own = spo.fit(base, data, 3)
    scaled, rows = own.rewards(data), np.arange(0, data.n, data.n // 8)
    people = support_sets(data, base.coding, base.support)
    choices = data.choices(base.coding, rows)
    for place in range(choices.items.shape[1]):
        chances = []
        for reference in own.params["against"]:
            pair = np.stack([choices.items[:, place], np.broadcast_to(reference, choices.items[:, place].shape)], 1)
            there = np.ones((len(rows), 2), bool)
            asked = choices.replace(items=pair, available=there, outside=~there, chosen=there / 2, attributes={})
            chances.append(np.exp(predict(base.model, base.params, asked, people=people).log_probs[0][0]))
        np.testing.assert_allclose(scaled[rows, place], np.mean(chances, 0), atol=1e-4)


def test_what_is_refused(trained):
    data, base = trained
    own = spo.fit(base, data, 2)
    with pytest.raises(UsageError, match="got SPO"):
        spo.fit(own, data)
    with pytest.raises(UsageError, match="at least 1"):
        spo.fit(base, data, 0)
    with pytest.raises(DataError, match="references of"):
        spo.fit(base, data, 10**6)
    groups = dataclasses.replace(base, model=Calibrated(base.model, data.attributes["dialect"]))
    with pytest.raises(UsageError, match="reads dialect, which pairs with alternatives of train do not tell"):
        spo.fit(groups, data, 2)
    around = dataclasses.replace(own, model=Calibrated(own.model))
    with pytest.raises(UsageError, match="got Calibrated"):
        spo.fit(around, data, 2)
    heard = dataclasses.replace(base, model=Calibrated(Neighbours(base.model)))
    with pytest.raises(UsageError, match="what they said would be lost"):
        spo.fit(heard, data, 2)
    accept = faro.load(votes(people=60), SCHEMA)
    model = faro.train(accept, attribute="theme", bound=float("inf"), settings={"steps": 10, "weight_decay": 1e-3})
    with pytest.raises(DataError, match="outside option has the reward 0"):
        spo.fit(model, accept)
