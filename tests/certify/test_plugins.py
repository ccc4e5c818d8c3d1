"""Cells by a plug-in: counted like the claims that have a name, named in every output, and computed again on demand.

A stranger's package with copies of faro's notions and notions of its own. Planted faults: every entry of the cells'
columns, every field that says whose they are, another source, a violation that must not be certified.
"""

import dataclasses
import importlib
import json
import shutil
import sys

import jax
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import constraints as ct
from constraints.testing import GROUP, KIND, example_choices
from faro import models, verify
from faro.certify import certificate, description, plugins
from faro.certify.columns import read_columns, write_columns
from faro.certify.drafts import claims_of, draft_policy, toml, written
from faro.certify.policy import policy_of, read_policy
from faro.certify.rescore import rescore
from faro.certify.scored import write_scored
from faro.cli import main
from faro.data import Dataset, Schema
from faro.errors import DataError, UnprovedError, UsageError
from faro.store.model import TrainedModel
from faro.store.saved import model_files
from faro.store.spec import to_record
from tests.builders.catalogue import EVERY

SOURCE = '''
import constraints as ct
import jax.numpy as jnp
from constraints._parity import GroupParity
from constraints._scores import RewardParity


class Copied(GroupParity):
    """Parity and odds, as faro has them."""


class Scores(RewardParity):
    """Parity of scores, as faro has it."""


class Mixed(ct.Parity):
    """Equal rates among choices that hold at least two groups."""

    who: ct.Grouping = ct.static()

    def groups(self):
        return self.who.groups

    def members(self, choices):
        cell = self.who.cell(choices)
        some = jnp.where(cell < 0, cell.max(1, keepdims=True), cell)
        mixed = (some != some[:, :1]).any(1)
        share = jnp.broadcast_to((choices.weight * mixed)[:, None], cell.shape)
        return ct.Members(cell[..., None], share[..., None])


class Wait(ct.RateConstraint):
    """Of all minutes, and of those above 20, the share that is not chosen: an alternative counts in one cell or two."""

    def cells(self):
        return ("all", "long")

    def columns(self):
        return ("minutes",)

    def affine(self):
        return 1.0, -1.0

    def decision_values(self, outcome):
        return 1 - outcome.decisions[..., None]

    def members(self, choices):
        minutes = choices.columns["minutes"]
        cell = jnp.stack([0 * minutes.astype(int), jnp.where(minutes > 20, 1, -1)], -1)
        return ct.Members(cell, choices.weight[:, None, None] * jnp.stack([minutes, minutes], -1) / 60)
'''
HEAD = """schema = "faro-policy/2"
delta = 0.05
estimand = "{estimand}"
cap = 30
outside = "none"
threshold = 0
units = "who"
ties = 1
min_group = {least}
"""
OPEN = ["iid-units", "group-labels-correct", "train-overlap-unchecked", "no-ledger", "weights-ignored"]
N, K = 90, 3


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """The stranger's package, imported."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "strangers").mkdir()
    (folder / "strangers" / "__init__.py").write_text("")
    (folder / "strangers" / "notions.py").write_text(SOURCE)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("strangers.notions")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "strangers"]:
        del sys.modules[name]


def people(single=False):
    """Choices among up to three by people who choose several times, or once among one group."""
    rng = np.random.default_rng(0)
    rows = N * K
    who = np.arange(N) if single else rng.integers(0, 40, N)
    frame = pd.DataFrame({
        "choice": np.repeat(np.arange(N), K), "who": np.repeat(who, K), "alt": np.tile([*"pqr"], N),
        "x": rng.normal(size=rows).round(1), "minutes": rng.choice([5, 15, 30, 60], rows),
        "group": rng.choice(["a", "b"], rows), "kind": rng.choice(["x", "y"], rows),
        "w": np.repeat(rng.choice([1.0, 1.5, 2.0], N), K), "there": (rng.random(rows) < 0.9).astype(int),
    })  # fmt: skip
    frame.loc[frame["alt"] == "p", "there"] = 1
    if single:  # one alternative of the kind x a choice, all of one weight, and one label
        frame["w"], frame["kind"] = 1.0, np.where(frame["alt"] == "p", "x", "y")
    votes = np.eye(K)[rng.integers(0, K, N)] if single else rng.dirichlet(np.ones(K), N)
    votes = votes * frame["there"].to_numpy().reshape(N, K) + [1e-9, 0, 0]
    frame["share"] = (votes / votes.sum(1, keepdims=True)).ravel().round(0 if single else 9)
    frame["share"] += np.where(frame["alt"] == "p", 1 - np.repeat(frame.groupby("choice")["share"].sum(), K), 0)
    frame["share"] = frame["share"].clip(0, 1)
    schema = Schema.from_dict({
        "format": "long", "unit": "who", "choice": ["choice"], "alternative": "alt", "label": "share", "weight": "w",
        "available": "there", "numeric": ["x", "minutes"],
        "attributes": [{"name": "group", "levels": ["a", "b"]}, {"name": "kind", "levels": ["x", "y"]}],
    })  # fmt: skip
    return Dataset.from_table(frame, schema, name="people")


TWO = ct.Attribute("group", ("a", "b"))
SORT = ct.Attribute("kind", ("x", "y"))


def trained(data, constraint):
    coding = data.fit_coding()
    params = models.Linear().init(jax.random.key(0), data.choices(coding))
    params = jax.tree.map(lambda leaf: np.random.default_rng(0).normal(size=leaf.shape).astype(np.float32), params)
    return TrainedModel(models.Linear(), params, coding, data.schema, {"seed": 0}, specification=to_record(constraint))


class Audited:
    """A scored table with cells, in a folder with its policy."""

    def __init__(self, folder, data, constraint, *claims, estimand="row", least=1, admitted=None):
        self.folder, self.data, self.table = folder, data, folder / "audit.csv"
        self.model = trained(data, constraint)
        self.notes = []
        write_scored(self.model, data, self.table, note=self.notes.append)
        self.unsplit()
        made = self.said().plugins
        self.claims = list(claims) or claims_of(constraint, data.schema).claims
        cells = [f"cells by {own.plugin} at {own.sha256}" for own in made] if admitted is None else admitted
        attributes = claims_of(ct.demographic_parity(TWO, of=(SORT, "x")), data.schema)
        self.text = HEAD.format(estimand=estimand, least=least) + f"assumptions = {toml([*OPEN, *cells])}\n"
        self.text += "\n".join(written(attributes._replace(claims=self.claims)))
        (folder / "faro.toml").write_text(self.text)

    def unsplit(self):
        """Nothing was trained, so all rows are held out."""
        self.reseal({name: cells for name, cells in read_columns(self.table).items() if name != "part"})

    def said(self):
        return description.read_description(self.table)

    def reseal(self, columns, **changes):
        """The table with other cells, described as before: what a liar does."""
        said = self.said()
        write_columns(columns, self.table)
        changes = {"table_sha256": description.table_digest(columns)} | changes
        description.write_description(self.table, dataclasses.replace(said, **changes))

    def certify(self):
        case = certificate.prepare(self.table, read_policy(self.folder / "faro.toml"))
        made = certificate.make(case)
        (self.folder / "cert.json").write_text(json.dumps(made.record))
        return made

    def verify(self):
        return verify.verify(self.folder / "cert.json", str(self.table), policy=self.folder / "faro.toml")

    def recomputed(self, *plugs):
        return plugins.recomputed(self.table, read_policy(self.folder / "faro.toml"), plugs)


# Equal to the claims that have a name ---------------------------------------------------------------------------------


def bounds(claims, certified):
    """What each claim proves, without names of groups and blocks."""
    for claim in claims:
        record = certified.record["claims"][claim["name"]]
        ends = [pair for block in record.get("ends", {}).values() for pair in block.values()]
        yield record["ucb"], record["lcb"] and (record["lcb"]["value"], record["lcb"]["split"]), ends


@pytest.mark.slow
@pytest.mark.parametrize(
    ("single", "estimand"),
    [(False, "row"), (False, "unit"), (True, "row")],
    ids=["several rows a unit", "several rows a unit, which count units", "one row a unit"],
)
def test_copies_of_named_notions_are_bounded_alike(strangers, tmp_path, single, estimand):
    who = ct.Grouping(TWO, (SORT, "x"))
    pairs = {
        "demographic_parity": strangers.Copied(bound=0.3, who=who),
        "equalized_odds": strangers.Copied(bound=0.3, who=who, events=("chosen", "rejected"), title="odds"),
        "reward_parity": strangers.Scores(bound=0.3, who=who, title="scores"),
    }
    data = people(single)
    copies = claims_of(ct.Stack(members=tuple(pairs.values())), data.schema, single=single).claims
    assert [claim["constraint"] for claim in copies] == ["plugin_parity"] * 3
    names = [
        claims_of(getattr(ct, name)(TWO, 0.3, of=(SORT, "x")), data.schema, single=single).claims[0] for name in pairs
    ]
    assert [claim["method"] for claim in copies] == [claim["method"] for claim in names]
    by_rows = ["exact2", "exact2", "block-pair"] if single else ["unit-ratio"] * 3
    assert [claim["method"] for claim in names] == by_rows
    ends = [claim | {"name": f"{claim['name']} ends", "method": "clopper-pearson"} for claim in (copies[0], names[0])]
    copies, names = copies + ends[:1] * single, names + ends[1:] * single
    stack = ct.Stack(members=tuple(pairs.values()))
    audited = Audited(tmp_path, data, stack, *copies, *names, estimand=estimand)
    certified = audited.certify()
    assert list(bounds(copies, certified)) == list(bounds(names, certified))
    result = audited.verify()
    assert result.verdict == certified.verdict.value
    assert [result.findings[own["name"]].note for own in copies] == [result.findings[own["name"]].note for own in names]
    assert len(audited.recomputed()) == 3


@pytest.mark.slow
def test_a_row_may_be_in_several_cells(strangers, tmp_path):
    """Caps on two cells that share rows: values are one minus the decision, shares minutes of the table."""
    audited = Audited(tmp_path, people(), strangers.Wait(bound=0.9))
    certified, columns = audited.certify(), read_columns(audited.table)
    decision, minutes, weight = (np.array(columns[name], float) for name in ("decision", "column:minutes", "weight"))
    finding = certified.findings["Wait"]
    for group, own in (("all", minutes > 0), ("long", minutes > 20)):
        expected = np.average(1 - decision[own], weights=(weight * minutes)[own])
        assert finding.rates["", group] == pytest.approx(expected, abs=1e-12)
    assert audited.verify().verdict == certified.verdict.value
    assert audited.recomputed() and audited.said().plugins[0].slots == ("1", "2")
    claim = audited.claims[0] | {"method": "clopper-pearson"}
    other = tmp_path / "counting"
    other.mkdir()
    with pytest.raises(UsageError, match=r"several cells of a block|one row per unit"):
        Audited(other, people(), strangers.Wait(bound=0.9), claim).certify()


# Who says so ----------------------------------------------------------------------------------------------------------


def test_the_assumption_is_named_and_must_be_admitted(strangers, tmp_path):
    mixed = strangers.Mixed(bound=0.5, who=ct.Grouping(TWO))
    audited = Audited(tmp_path, people(), mixed)
    (made,) = audited.said().plugins
    stated = f"cells by strangers.notions:Mixed at {made.sha256}"
    assert stated in audited.certify().record["assumptions"]
    assert stated in verify.report(audited.verify())
    for admitted in (
        [],
        [f"cells by strangers.notions:Mixed at {'0' * 64}"],
        [f"cells by others:Mixed at {made.sha256}"],
    ):
        (tmp_path / "faro.toml").write_text(
            audited.text.replace(toml(stated), ", ".join(map(toml, admitted)) or '"same-items"')
        )
        with pytest.raises(UsageError, match="the assumption 'cells by"):
            audited.certify()
    forged = json.loads((tmp_path / "cert.json").read_text())
    forged["policy_sha256"] = read_policy(tmp_path / "faro.toml").sha256
    forged["sha256"] = verify.digest({name: own for name, own in forged.items() if name not in ("sha256", "info")})
    (tmp_path / "cert.json").write_text(json.dumps(forged))
    with pytest.raises(verify.Refused) as refused:
        audited.verify()
    assert refused.value.code == 2


def small(strangers, tmp_path):
    """A table of few rows with cells, shares and values."""
    who = ct.Grouping(TWO)
    stack = ct.Stack(members=(strangers.Mixed(bound=0.5, who=who), strangers.Scores(bound=0.5, who=who, title="s")))
    data = people()
    rows = data.frame[data.frame["choice"] < 8]
    return Audited(tmp_path, Dataset.from_table(rows, data.schema, name="few"), stack)


def test_every_entry_of_cells_is_computed_again(strangers, tmp_path, monkeypatch):
    """Who changes a cell, seals the table again and certifies it gets a certificate, that --plugin refuses."""
    audited = small(strangers, tmp_path)
    assert len(audited.recomputed()) == 2
    known, real = {}, plugins.counts_of_table

    def once(part, *of_table):
        if part.name() not in known:
            known[part.name()] = real(part, *of_table)
        return known[part.name()]  # it reads none of the columns that are changed here

    monkeypatch.setattr(plugins, "counts_of_table", once)
    columns, policy = read_columns(audited.table), read_policy(tmp_path / "faro.toml")
    certified = 0
    for name in [name for name in columns if name.partition(":")[0] in ("cell", "share", "value")]:
        kind, _, slot = name.partition(":")
        for row, cell in enumerate(columns[name]):
            changed = {own: list(cells) for own, cells in columns.items()}
            if cell == "":
                if kind != "cell":
                    continue
                changed[name][row], changed[f"share:{slot}"][row] = "0", "1.0"
                if f"value:{slot}" in changed:
                    changed[f"value:{slot}"][row] = "0.5"
            else:
                changed[name][row] = {"share": "3.25", "value": "0.125"}.get(kind) or str(1 - int(cell))
            audited.reseal(changed)
            with pytest.raises(UnprovedError, match="have another"):
                plugins.recomputed(audited.table, policy, ())
            if row == 3:
                audited.certify()
                assert audited.verify()
                certified += 1
    assert certified == 5
    audited.reseal({name: list(cells) for name, cells in columns.items()})
    assert len(audited.recomputed()) == 2


FIELDS = {
    "plugin": "strangers.notions:Other", "options": '{"form":"pairwise"}', "source_sha256": "0" * 64,
    "blocks": ("other",), "groups": ("group=b", "group=a"), "compared": "rates", "values": "1 - decision",
    "columns": ("minutes",), "slots": ("7",),
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_that_says_whose_cells_they_are(strangers, tmp_path, field):
    assert set(FIELDS) == set(description.PlugIn._fields)
    audited = Audited(tmp_path, people(), strangers.Mixed(bound=0.5, who=ct.Grouping(TWO)))
    audited.certify()
    columns, (made,) = read_columns(audited.table), audited.said().plugins
    changed = made._replace(**{field: FIELDS[field]})
    audited.reseal(columns, plugins=(changed,))
    with pytest.raises(DataError):
        audited.certify()
    with pytest.raises(verify.Refused) as refused:
        audited.verify()
    assert refused.value.code == 5
    # and where the policy's owner is deceived as well
    text = audited.text.replace(made.sha256, changed.sha256).replace(made.plugin, changed.plugin)
    (tmp_path / "faro.toml").write_text(text)
    with pytest.raises((DataError, UnprovedError, UsageError)):
        audited.recomputed()


def test_another_source_is_another_digest(strangers, tmp_path):
    audited = Audited(tmp_path, people(), strangers.Mixed(bound=0.5, who=ct.Grouping(TWO)))
    assert audited.recomputed("strangers.notions:Mixed")
    place, text = strangers.__file__, SOURCE
    try:
        with open(place, "a") as file:
            file.write("# seen later\n")
        with pytest.raises(DataError, match="source or options changed"):
            audited.recomputed()
        (tmp_path / "again").mkdir()
        with pytest.raises(DataError, match="has no cells by"):  # the policy names the digest of before
            again = Audited(tmp_path / "again", people(), strangers.Mixed(bound=0.5, who=ct.Grouping(TWO)))
            (again.folder / "faro.toml").write_text(audited.text)
            again.certify()
    finally:
        with open(place, "w") as file:
            file.write(text)


def test_other_columns_that_cells_are_made_of(strangers, tmp_path):
    """An attribute or a number changed in the table no longer gives these cells."""
    audited = Audited(tmp_path, people(), strangers.Wait(bound=0.9))
    columns = read_columns(audited.table)
    changed = {name: list(cells) for name, cells in columns.items()}
    changed["column:minutes"][0] = "17.0"
    audited.reseal(changed)
    with pytest.raises(UnprovedError, match="have another"):
        audited.recomputed()


def test_what_cannot_be_scored_with_cells_is_said(strangers, tmp_path):
    model = trained(people(), strangers.Wait(bound=0.9))
    bare = people().frame.drop(columns="share")
    notes = []
    write_scored(model, model.read(bare), tmp_path / "bare.csv", note=notes.append)
    assert notes == ["no cells of Wait: the data have no labels"]
    assert description.read_description(tmp_path / "bare.csv").plugins == ()
    unknown = model.specification | {"type": "nobody.imported:Wait"}
    write_scored(dataclasses.replace(model, specification=unknown), people(), tmp_path / "un.csv", note=notes.append)
    assert "--plugin" in notes[1] and "import nobody.imported first" in notes[1]
    assert "plugins" not in json.loads(description.place(tmp_path / "un.csv").read_text())  # as tables were before


# In a policy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("plugin_sha256", "f00"), "plugin_sha256: expected a sha256"), (("plugin", ""), "plugin: expected a text"),
        (("blocks", []), "blocks: expected a list"), (("groups", ["a"]), "groups: expected a list of at least 2"),
        (("scores", "yes"), "scores: expected true or false"), (("attribute", "group"), "unknown key"),
        (("method", "dkw"), "cannot show plugin_parity"), (("scores", True), "'exact2' cannot show plugin_parity"),
        (("constraint", "plugin_cap"), "'exact2' cannot show plugin_cap"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_claim_about_cells_may_say(tmp_path, change, reason):
    claim = {"name": "it", "constraint": "plugin_parity", "plugin": "a:B", "plugin_sha256": "0" * 64, "bound": 0.1,
             "groups": ["a", "b"], "method": "exact2"} | dict([change])  # fmt: skip

    def value(own):
        return repr(own).lower() if isinstance(own, bool | float) else toml(own)

    lines = [f"{key} = {value(own)}" for key, own in claim.items()]
    text = (
        HEAD.format(estimand="row", least=1) + "assumptions = []\n[attributes.group]\nlevels = ['a', 'b']\n[[claim]]\n"
    )
    (tmp_path / "faro.toml").write_text(text + "\n".join(lines))
    with pytest.raises(UsageError, match=reason):
        read_policy(tmp_path / "faro.toml")
    with pytest.raises(verify.Refused) as refused:
        verify.read_policy(tmp_path / "faro.toml")
    assert refused.value.code == 2


# A violation is not certified -----------------------------------------------------------------------------------------


def by_hand(folder, rng, gap, n=300):
    """A table of people in one cell of two, whose rates differ by this gap, and a policy that asks for 0.1."""
    group = rng.integers(0, 2, n)
    accepted = rng.random(n) < 0.4 + gap * group
    columns = {
        "unit": [f"u{i}" for i in range(n)], "choice": [f"c{i}" for i in range(n)], "alternative": [""] * n,
        "reward": np.where(accepted, "1.0", "-1.0").tolist(), "cell:1": group.astype(str).tolist(),
        "share:1": ["1.0"] * n,
    }  # fmt: skip
    made = description.PlugIn("its:Own", "{}", "0" * 64, ("",), ("a", "b"), "pairs", "decision", (), ("1",))
    said = description.Description(
        table_sha256=description.table_digest(columns), outside="all", units=description.Units("column", "who", 2),
        plugins=(made,),
    )  # fmt: skip
    claim = {"name": "it", "constraint": "plugin_parity", "plugin": "its:Own", "plugin_sha256": made.sha256,
             "groups": ["a", "b"], "method": "exact2"}  # fmt: skip
    text = HEAD.format(estimand="row", least=1).replace('"none"', '"all"')
    text += f"assumptions = {toml([*OPEN, f'cells by its:Own at {made.sha256}'])}\n[[claim]]\nbound = 0.1\n"
    text += "\n".join(f"{key} = {toml(own)}" for key, own in claim.items())
    return columns, policy_of(text.encode(), folder), said


@pytest.mark.slow
def test_a_planted_violation_is_certified_at_most_as_often_as_delta_allows(tmp_path):
    rng, draws = np.random.default_rng(0), 60
    verdicts = {}
    for gap, n in ((0.1001, 200), (0.0, 1000)):
        found = []
        for _ in range(draws if gap else 6):
            columns, policy, said = by_hand(tmp_path, rng, gap, n)
            found.append(certificate.make(certificate.prepare(columns, policy, description=said)).verdict.value)
        verdicts[gap] = found.count("CERTIFIED")
    assert verdicts[0.1001] <= stats.binom.ppf(0.999, draws, 0.05)
    assert verdicts[0.0] >= 4  # the control: what holds is certified


# What the check says --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_check_says_what_certify_does():
    """For the whole catalogue: a certificate is promised exactly where a draft can be made, and by that way."""
    choices, data = example_choices(), people()
    names = [{"name": own.name, "levels": list(own.levels), "chooser": own.chooser} for own in (GROUP, KIND)]
    names.append({"name": "community", "levels": ["north", "south"], "chooser": True})
    twins = [{"attribute": own["name"], "origin": "generated"} for own in names]
    features = {"categorical": ["group", "kind"], "context_categorical": ["community"]}
    schema = Schema.from_dict(data.schema.to_dict() | features | {"attributes": names, "twins": twins})
    ways = set()
    for what, constraint in EVERY:
        if what.startswith(("exposure_parity at", "exposure_parity(form")):
            continue  # bounds and rows change no cells
        for part, (name, said) in zip(constraint.parts(), plugins.certifiable_as(constraint, choices), strict=True):
            assert name == part.name()
            if any("&" in own for own in part.twins()):
                continue  # never trained: no twins have a crossed attribute's name
            try:
                kind = claims_of(part, schema, bound=0.05).claims[0]["constraint"]
            except UsageError as error:
                if "with the reference" in str(error):
                    continue
                assert said.startswith("no certificate: ") and said.removeprefix("no certificate: ") in str(error), what
                ways.add("none")
                continue
            way = f"of the claim {kind}" if not kind.startswith("plugin") else "in cells by"
            assert said.startswith(f"certificate: {part.certifiable_as()} {way}"), (what, said)
            ways.add(way.partition(" claim")[0])
    assert ways == {"none", "of the", "in cells by"}


# From the command line ------------------------------------------------------------------------------------------------


def test_trained_scored_certified_and_verified_by_the_command(strangers, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = people()
    model = trained(data, strangers.Mixed(bound=0.5, who=ct.Grouping(TWO)))
    model.save("model")
    data.frame.to_csv("people.csv", index=False)
    for words in (
        ["policy", "model.json", "--plugin", "strangers.notions:Mixed", "--out", "faro.toml"],
        ["score", "model.json", "people.csv", "--plugin", "strangers.notions:Mixed", "--out", "all.csv"],
    ):
        assert main(words) == 0, capsys.readouterr().err
    assert draft_policy(model) == (tmp_path / "faro.toml").read_text()
    columns = {name: cells for name, cells in read_columns("all.csv").items() if name != "part"}
    said = description.read_description("all.csv")
    shutil.move("all.csv-metadata.json", "gate.csv-metadata.json")
    write_columns(columns, tmp_path / "gate.csv")
    description.write_description("gate.csv", dataclasses.replace(said, table_sha256=description.table_digest(columns)))
    text = (tmp_path / "faro.toml").read_text().replace('ledger = "ledger.jsonl"\nescrow = "escrow"\n', "")
    text = text.replace("assumptions = [", 'assumptions = ["no-ledger", "train-overlap-unchecked", ')
    (tmp_path / "faro.toml").write_text(text.replace("min_group = 30", "min_group = 10"))
    code = main(["certify", "gate.csv", "--policy", "faro.toml", "--out", "cert.json", "--html", "cert.html"])
    assert code in (0, 3), capsys.readouterr().err
    assert "the rate that strangers.notions:Mixed counts" in (tmp_path / "cert.html").read_text().lower().replace(
        "strangers.notions:mixed", "strangers.notions:Mixed"
    )
    verified = ["verify", "cert.json", "gate.csv", "--policy", "faro.toml"]
    assert main([*verified, "--plugin", "strangers.notions:Mixed"]) == code
    assert "computed again: the cells of" in capsys.readouterr().out
    assert main(verified) == code
    assert "cells by strangers.notions:Mixed at" in capsys.readouterr().out
    assert rescore("gate.csv", read_policy("faro.toml"), "model.json", "people.csv").rows == len(columns["unit"])
    assert model_files("model")
    columns["cell:1"] = [str(1 - int(cell)) if cell else "" for cell in columns["cell:1"]]
    write_columns(columns, tmp_path / "gate.csv")
    description.write_description("gate.csv", dataclasses.replace(said, table_sha256=description.table_digest(columns)))
    assert main(["certify", "gate.csv", "--policy", "faro.toml", "--out", "cert.json"]) in (0, 1, 3)
    capsys.readouterr()
    assert main([*verified, "--plugin", "strangers.notions:Mixed"]) == 4
    assert "have another cell" in capsys.readouterr().err
