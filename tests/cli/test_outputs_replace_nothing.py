"""No command replaces a file that it reads: it says so before it reads."""

import pytest

import faro
from faro.cli import main

COMMANDS = {
    "score": "score model.json TABLE --out TABLE",
    "mix": "mix TABLE=0.5 other.csv --out TABLE",
    "types": "types TABLE --frame wording --out TABLE",
    "types, its schema": "types other.csv --schema TABLE --frame wording --out TABLE",
    "ask": "ask model.json TABLE --out TABLE",
    "ask, its answers": "ask model.json other.csv --answers TABLE --out TABLE",
    "pebs": "pebs model.json TABLE --rating stars --out TABLE",
    "agreement": "agreement TABLE --agrees agrees --out TABLE",
    "rerank": "rerank TABLE --genres genre --wanted A=1 --out TABLE",
    "summarise": "summarise TABLE --schema schema.toml --by contrast -k 2 --out TABLE",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_a_table_that_is_read_stays(command, tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    assert main(command.replace("TABLE", str(table)).split()) == 2
    assert "is read, and would be replaced" in capsys.readouterr().err
    assert table.read_text() == "a,b\n1,2\n"


@pytest.mark.slow
def test_a_model_that_another_is_made_of_stays(tmp_path, capsys):
    data = faro.load("demo")
    model = faro.train(data, attribute="dialect", bound=0.1, settings={"steps": 10, "weight_decay": 1e-3})
    model.save(tmp_path / "model")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    place = str(tmp_path / "model.json")
    for more in ([], ["--spo", "3"]):
        assert main(["calibrate", place, "--data", "demo", "--out", str(tmp_path / "model"), *more]) == 2
        assert "is the model that it is made of" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
