"""Wrong usage, exit 2: flags, configurations and commands that cannot be are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders.swept import SWEEP, refused

pytestmark = pytest.mark.usefixtures("place")


WRONG = {
    "negative bound": (["--bounds", "-0.1"], ["bound", "-0.1"]),
    "NaN bound": (["--bounds=nan"], ["bound", "nan"]),
    "negative and fine": (["--bounds=0.1,-0.2"], ["bound", "-0.2"]),
    "no number": (["--bounds=small"], ["LO:HI:N", "'small'"]),
    "two of three": (["--bounds=0.1:0.2"], ["LO:HI:N"]),
    "backwards": (["--bounds=0.2:0.1:5"], ["LO <= HI"]),
    "from zero": (["--bounds=0:0.1:5"], ["0 < LO"]),
    "no bounds": (["--bounds=0.1:0.2:0"], ["N >= 1"]),
    "half a bound": (["--bounds=0.1:0.2:1.5"], ["LO:HI:N"]),
    "nothing": (["--bounds="], ["LO:HI:N"]),
    "no seeds": (["--seeds=0"], ["--seeds", "at least one"]),
    "negative seeds": (["--seeds=-1"], ["--seeds", "negative"]),
    "half a seed": (["--seeds=1.5"], ["--seeds", "whole"]),
    "words for seeds": (["--seeds=many"], ["--seeds", "'many'"]),
    "equal seeds": (["--seeds=1,1"], ["different seeds"]),
    "huge seed": (["--seeds=0,99999999999"], ["seeds", "2147483647"]),
    "constraint": (["--constraint=demographic_party"], ["did you mean 'demographic_parity'"]),
    "empty constraint": (["--constraint="], ["unknown constraint"]),
    "half a stack": (["--constraint=demographic_parity+"], ["unknown constraint"]),
    "attribute": (["--attribute=colour"], ["unknown attribute 'colour'", "group"]),
    "level of": (["--of=group=c"], ["level of group 'c'", "a, b"]),
    "attribute of": (["--of=colour=c"], ["unknown attribute 'colour'"]),
    "no level of": (["--of=group"], ["attribute=level"]),
    "within": (["--within=colour"], ["unknown attribute 'colour'"]),
    "twins that are not": (["--constraint=counterfactual_parity", "--attribute=camp"], ["no twins"]),
    "immovable": (["--attribute=camp"], ["no model can move", "`of`"]),
    "model": (["--model=tree"], ["unknown model 'tree'", "linear, lore, "]),
    "layers": (["--model=mlp:0"], ["mlp:WIDTH"]),
    "no layers": (["--model=mlp:"], ["mlp:WIDTH"]),
    "cold": (["--temperature=0"], ["temperature", "above 0"]),
    "negative temperature": (["--temperature=-1"], ["temperature", "above 0"]),
    "not a temperature": (["--temperature=nan"], ["temperature"]),
    "words for temperature": (["--temperature=warm"], ["temperature", "'warm'", "faro frontier --help"]),
    "option": (["--bond=0.1"], ["--bond", "faro frontier --help"]),
    "abbreviation": (["--bound=0.1"], ["--bound", "faro frontier --help"]),
    "no value": (["--model"], ["expected one argument"]),
    "data": (["--data=nothing"], ["nothing"]),
    "schema": (["--schema=no.toml"], ["no.toml", "cannot be read"]),
    "configuration": (["--config=no.toml"], ["no.toml", "cannot be read"]),
    "folder as configuration": (["--config=."], ["cannot be read"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage(case, faro):
    flags, words = WRONG[case]
    code = 5 if case == "data" else 2  # with a schema a name is a file
    refused(faro(*SWEEP, *flags), code, *words)


CONFIGURATIONS = {
    "name": ("bonds = 1", "did you mean 'bounds'"),
    "setting": ("[settings]\nstep = 1", "unknown setting 'step'"),
    "value": ("[settings]\nsteps = -1", "steps"),
    "kind of value": ('[settings]\nsteps = "many"', "steps"),
    "dual": ('[settings]\ndual = "adam"', "nupi"),
    "every": ("[settings]\nsteps = 2\nevery = 3", "every"),
    "no table": ("settings = 3", "settings: expected a table"),
    "number for a name": ("attribute = 3", "attribute: expected text"),
    "true for a number": ("temperature = true", "temperature: expected a number"),
    "words in a list": ('bounds = ["a"]', "LO:HI:N"),
    "half a seed": ("seeds = [0.5]", "--seeds"),
    "no TOML": ("bounds = ", "not TOML"),
    "schema": ("[schema]\nunits = 'person'", "unknown key 'units'"),
}


@pytest.mark.parametrize("case", CONFIGURATIONS)
def test_wrong_configurations(case, faro):
    text, word = CONFIGURATIONS[case]
    Path("quick.toml").write_text(text)
    arguments = ["frontier", "--data", "t.csv", "--config", "quick.toml", "--out", "out"]
    arguments += [] if case == "schema" else ["--schema", "t.toml"]
    refused(faro(*arguments), 2, word)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "COMMAND"),
        (["fronteer"], "invalid choice: 'fronteer'"),
        (["frontier", "--data", "nothing"], "data sets: demo"),
        (["frontier", "--data", "t.csv"], "needs a schema"),
        (["frontier", "--data", "t.csv", "--schema", "t.toml"], "needs an attribute"),
        (["frontier", "--data", "demo", "--schema", "t.toml"], "brings its own schema"),
        (["frontier", "--data", "demo", "--attribute", "community"], "no model can move"),
        (["train", "--data", "demo", "--bound", "-1"], "bound"),
        (["train", "--data", "demo", "--bound", "nan"], "bound"),
        (["train", "--data", "demo", "--seed", "-1"], "seeds"),
        (["train", "--data", "demo", "--seed", "99999999999"], "seeds"),
        (["data", "describe"], "name of a data set"),
        (["data", "describe", "nothing"], "data sets: demo"),
        (["data", "list", "demo"], "takes no name"),
        (["data", "fetch", "demo"], "nothing to fetch"),
        (["data", "fetch", "nothing"], "data sets: swissmetro"),
        (["data", "forget"], "invalid choice"),
        (["score", "m.json"], "required: data"),
        (["score", "m.json", "t.csv", "--part", "test"], "unknown part 'test'"),
    ],
)
def test_wrong_commands(arguments, word, faro):
    refused(faro(*arguments), 2, word)
