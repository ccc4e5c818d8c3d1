"""The report against invented runs, whose numbers are known because they are made here."""

from __future__ import annotations

import html
import html.parser
import json
import math
import re
import shlex
from importlib import resources
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

import constraints as ct
import faro
from faro import api
from faro.cli import main
from faro.errors import DataError, UsageError
from faro.report import (
    Run,
    differences,
    draw_frontier,
    draw_traces,
    ending,
    headline,
    point,
    read_run,
    summary_table,
    write_card,
    write_comparison,
    write_pictures,
    write_report,
)
from faro.report._commands import of_trial
from faro.report._plots import inline
from faro.report._series import panel
from faro.store.spec import arguments_of, same, to_record
from tests.builders.catalogue import ATTRIBUTES, EVERY
from tests.builders.invented import Invented, best, certify


@pytest.fixture
def folder(tmp_path):
    return Invented().write(tmp_path / "run")


class Page(html.parser.HTMLParser):
    """Checks that elements are balanced, and collects text and whatever could be loaded."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        values = [value for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data", "srcset")]
        self.loaded += [value for value in values if not value.startswith("#")]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"unbalanced </{tag}>"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(folder: Path) -> tuple[str, Page]:
    text = write_report(read_run(folder), folder).read_text(encoding="utf-8")
    return text, Page(text)


def records(text: str) -> dict:
    found = re.search(r'id="records">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])["runs"][0]


CASES = {
    "plain": Invented(),
    "one seed": Invented(seeds=1),
    "all infeasible": Invented(status="INFEASIBLE"),
    "stack": Invented(parts=("demographic_parity(sex)", "equal_opportunity(sex)")),
    "two hundred groups": Invented(groups=200, seeds=1),
    "some diverged": Invented(diverged=(0, 4, 12)),
    "all diverged": Invented(diverged=tuple(range(15))),
    "known population": Invented(known=True),
    "no bounds": Invented(bounds=()),
    "one record": Invented(records=1),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_run_gets_its_page_pictures_and_table(case, tmp_path):
    invented = CASES[case]
    folder = invented.write(tmp_path)
    text, parsed = page(folder)
    assert "svg" in parsed.tags and not parsed.loaded
    assert "url(" not in text.replace("url(#", "") and "@import" not in text
    assert not re.search(r"\b(fair|unbiased|guaranteed|debiased)\b", parsed.text)
    assert "NaN" not in text and "nan" not in parsed.text.split()
    assert len(records(text)["members"]) == (len(invented.bounds) + 1) * invented.seeds
    pictures = write_pictures(read_run(folder), folder)
    assert [path.name for path in pictures] == ["frontier.png", "frontier.svg"]
    draw_traces(read_run(folder), 0)
    table = summary_table(read_run(folder))
    assert list(table["bound"]) == [*invented.bounds, math.inf]
    assert not list(folder.glob(".*"))


def test_same_run_gives_the_same_bytes(folder, tmp_path):
    run = read_run(folder)
    for place in ("a", "b"):
        write_pictures(run, tmp_path / place)
        write_report(run, tmp_path / place)
    for name in ("frontier.png", "frontier.svg", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_markup_in_names_stays_text(tmp_path):
    evil = "</script><script>alert(1)</script>&\"'$title${css}"
    folder = Invented(name=evil, parts=(f"parity({evil})",)).write(tmp_path)
    text, parsed = page(folder)
    assert "<script>alert" not in text
    assert parsed.text.count("alert(1)") >= 3
    assert evil in parsed.text
    assert records(text)["labels"][0] == f"parity({evil}): high sex=0"


def test_summary_holds_the_numbers_of_the_file(folder):
    run = read_run(folder)
    table = summary_table(run).set_index("bound")
    some = run.trials[run.trials["bound"] == 0.05]
    assert table.loc[0.05, "dev_gap"] == pytest.approx(some["dev_gap"].mean())
    assert table.loc[0.05, "dev_gap_high"] == some["dev_gap"].max()
    assert (table["feasible"] == 3).all()
    assert table.loc[0.05, "non_dominated"] == 3


def test_diverged_members_do_not_spoil_means(tmp_path):
    run = read_run(Invented(diverged=(0,)).write(tmp_path))
    row = summary_table(run).iloc[0]
    assert row["feasible"] == 2 and row["members"] == 3
    assert row["dev_accuracy"] == pytest.approx(run.trials["dev_accuracy"].iloc[1:3].mean())


def test_headline_says_what_was_measured_on_whom(folder, tmp_path):
    run = read_run(folder)
    assert run.focus() == 0.1  # 0.15 is half the unconstrained gap less a hair
    said = headline(run)
    assert said.startswith("At bound 0.1, 3 of 3 models satisfy demographic parity (sex) within 0.1 on the training ")
    assert "over seeds)" in said and "unconstrained" in said
    said = headline(read_run(Invented(seeds=1).write(tmp_path / "one")))
    assert "1 of 1 models satisfies" in said and "seeds" not in said
    said = headline(read_run(Invented(status="INFEASIBLE").write(tmp_path / "none")))
    assert said.startswith("No model was found that satisfies")
    assert "the smallest gap reached there was 0.019" in said or "0.020" in said


def test_headline_compares_with_the_best_at_the_gap_that_was_reached(tmp_path):
    run = read_run(Invented(known=True).write(tmp_path))
    gap = run.trials["population_gap"].to_numpy()[run.at(0.1)].mean()
    assert headline(run).endswith(f"; the best possible at that gap is {best(gap):.3f}.")


def test_stack_is_judged_by_its_largest_gap(tmp_path):
    run = read_run(CASES["stack"].write(tmp_path))
    assert run.gaps("dev").shape == (15, 2)
    np.testing.assert_allclose(run.gap("dev"), run.trials["dev_gap[demographic_parity(sex)]"])
    assert "dev gap: equal_opportunity(sex)" in page(run.folder)[1].text


def test_page_of_a_large_run_stays_small(tmp_path):
    bounds = tuple(np.linspace(0.01, 0.2, 20).round(3))
    folder = Invented(bounds=bounds, groups=20, records=2000).write(tmp_path)
    text, parsed = page(folder)
    assert len(text) < 1_500_000
    one = records(text)["members"][0]
    assert len(one["shown"]) == 8 and len(one["loss"]) == 60
    assert "At most 8 of 40 inequalities" in parsed.text and "60 of 2000 records" in parsed.text


def test_script_is_given_what_the_traces_hold(folder):
    run = read_run(folder)
    given = records(page(folder)[0])
    assert given["members"][-1]["bound"] is None and given["members"][-1]["shown"] == []
    one = given["members"][given["chosen"]]
    row = given["chosen"]
    assert one["bound"] == run.focus()
    assert given["step"][0] == 0 and given["step"][-1] == run.traces["step"][-1]
    index = one["shown"][0]
    assert index == run.traces["multiplier"][row].max(0).argmax()
    assert one["multiplier"][0][-1] == pytest.approx(run.traces["multiplier"][row, -1, index], abs=1e-4)
    assert one["rates"]["dev"] == pytest.approx([run.rates("dev")[cell][row] for cell in given["cells"]], abs=1e-4)


def test_drawing_into_axes_of_the_caller(folder):
    from matplotlib.figure import Figure

    figure = Figure()
    assert draw_frontier(read_run(folder), figure.add_subplot()) is figure
    assert "demographic parity (sex)\ninvented, 1,396 people" in figure.axes[0].get_title()


def test_points_lie_where_their_marks_are_drawn(folder, tmp_path):
    for place in (folder, Invented(known=True, status="INFEASIBLE").write(tmp_path / "known")):
        run = read_run(place)
        svg, spots = inline(panel(run))
        marks = np.array(re.findall(r'<use xlink:href="#[^"]+" x="([-\d.]+)" y="([-\d.]+)"', svg), float)
        assert [spot.point.title for spot in spots][-1] == f"bound {run.bounds[-1]:g}" or len(spots) == 5
        for spot in spots:
            assert np.abs(marks - (spot.x, spot.y)).max(axis=1).min() < 0.02
        assert len({(spot.x, spot.y) for spot in spots}) == 5


def test_points_say_the_numbers_of_the_file(folder):
    run = certify(folder)
    spots = {spot.point.title: spot.point for spot in inline(panel(run))[1]}
    assert list(spots) == ["bound 0.02", "bound 0.05", "bound 0.1", "bound 0.2", "unconstrained"]
    some = run.trials[run.trials["bound"] == 0.1]
    facts = dict(spots["bound 0.1"].facts)
    assert list(spots["bound 0.1"].rows) == list(some.index)
    assert facts["status"] == "FEASIBLE (3 of 3)"
    assert facts["accuracy, development"].startswith(f"{some['dev_accuracy'].mean():.3f} ")
    assert facts["rate, 1"] == f"{some['dev_rate[sex=1]'].mean():.3f}"
    assert facts["gap certified at most"] == f"{math.ceil(some['certified_slack'].max() * 1000) / 1000:.3f} (3 of 3)"
    assert "gap certified at most" not in dict(spots["unconstrained"].facts)


def test_a_point_of_many_groups_says_how_many_more(tmp_path):
    run = read_run(CASES["two hundred groups"].write(tmp_path))
    facts = dict(inline(panel(run))[1][0].point.facts)
    assert facts["more groups"] == "194"
    assert sum(name.startswith("rate, ") for name in facts) == 6


def test_text_stays_readable_on_every_background():
    """Contrast as in the Web Content Accessibility Guidelines: at least 4.5 for text, here for all colours."""
    css = resources.files("faro.report").joinpath("page.css").read_text("utf-8")
    for block in re.findall(r":root \{(.*?)\}", css, re.S):
        colours = {name: _luminance(code) for name, code in re.findall(r"--(\w+): #([0-9a-f]{3,6})", block)}
        for name, light in colours.items():
            if name not in ("paper", "shade", "line"):
                low, high = sorted((light, colours["paper"]))
                assert (high + 0.05) / (low + 0.05) >= 4.5, name
    assert len(re.findall(r":root \{", css)) == 3  # light, dark, paper


def _luminance(code: str) -> float:
    code = code if len(code) == 6 else "".join(2 * digit for digit in code)
    parts = [int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# Commands of a point --------------------------------------------------------------------------------------------------


def recorded(folder: Path, **changes) -> Run:
    """The run with other entries of its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return read_run(folder)


@pytest.mark.parametrize(
    ("command", "again", "alone"),
    [
        ("faro frontier", "faro frontier --out again", "faro train"),
        (
            "faro frontier --data 'my table.csv' --schema=s.toml --bounds 1:2:3 --seeds 4 --out x --json --quiet",
            "faro frontier --data 'my table.csv' --schema=s.toml --bounds 1:2:3 --seeds 4 --out again",
            "faro train --data 'my table.csv' --schema=s.toml",
        ),
        (
            "faro frontier --overwrite --bounds=0.05 --config c.toml --of side=left --out=y",
            "faro frontier --bounds=0.05 --config c.toml --of side=left --out again",
            "faro train --config c.toml --of side=left",
        ),
    ],
)
def test_the_commands_of_a_point_keep_what_was_asked(command, again, alone, folder):
    sweep, train, score, *_ = of_trial(recorded(folder, command=command), 4)
    assert sweep.text == again and "again/models/bound02-seed1.json" in sweep.note
    assert train.text == f"{alone} --bound 0.05 --seed 1 --out bound02-seed1"
    assert ("'my table.csv'" in score.text) == ("table" in command)


def test_a_run_from_python_is_repeated_in_python(tmp_path):
    parts = ("demographic_parity(sex, of=side=left, within=age)", "equalized_odds(sex, of=side=left, within=age)")
    folder = Invented(parts=parts).write(tmp_path)
    constraint = json.loads((folder / "manifest.json").read_text())["constraint"]
    asked = {"constraint": "demographic_parity+equalized_odds", "attribute": "sex", "of": "side=left", "within": "age"}
    run = recorded(
        folder,
        command="",
        configuration={"model": "Linear(scale=0.5)", "steps": 9},
        constraint=constraint | {"asked": asked},
        model={"asked": "linear(scale=0.5)", "record": {}},
        loss={"asked": "cvar(share=0.5)", "record": {}},
    )
    text = of_trial(run, 4)[0].text
    compile(text, "again", "exec")
    for part in ("'demographic_parity+equalized_odds'", "attribute='sex'", "of='side=left'", "within='age'"):
        assert part in text
    own = ("model='linear(scale=0.5)'", "loss='cvar(share=0.5)'", "settings={'steps': 9}")
    for part in ("bounds=[0.02, 0.05, 0.1, 0.2]", "seeds=[0, 1, 2]", *own):
        assert part in text
    assert (
        f"    data,  # {run.data['name']}, as it was given" in text
    )  # a table and a schema, of which the run knows the name
    named = of_trial(recorded(folder, data={**run.data, "name": "adult", "title": "a registered set"}), 4)[0].text
    assert "    'adult'," in named
    own = recorded(Invented(parts=("Mine()",)).write(tmp_path / "own"), command="")
    text = of_trial(own, 4)[0].text  # names are not read
    compile(text, "again", "exec")
    assert "constraint,  # Mine(), as it was given" in text and "model=model,  # a model, as it was given" in text
    record = {"type": "mine.nets:Net", "options": {"depth": 2}}
    own = recorded(tmp_path / "own", model={"asked": None, "record": record})
    assert f"model=spec.from_record({record!r}, 'model')" in of_trial(own, 4)[0].text
    assert "--constraint NAME" in of_trial(own, 4)[-1].text and "name alone" in of_trial(own, 4)[-1].note


def test_what_is_typed_again_trains_the_same_constraint(tmp_path, monkeypatch):
    """Of the whole catalogue, with options, crossed, several and stacked: the very constraint, but for its bound."""
    run = recorded(Invented().write(tmp_path), command="")
    data, seen = SimpleNamespace(attributes=ATTRIBUTES, defaults={}), []
    monkeypatch.setattr(faro, "frontier", lambda *given, **named: seen.append((given, named)))
    for what, constraint in EVERY:
        run.manifest["constraint"] |= {"record": to_record(constraint), "asked": arguments_of(constraint, ATTRIBUTES)}
        exec(of_trial(run, 4)[0].text, {"model": None, "data": None})
        (_, own), named = seen.pop()
        made = api._constraint(data, own, *(named.get(key) for key in ("attribute", "of", "within")), 0.05)
        assert same(made.at(0.05), constraint.at(0.05)), what
    own = ct.Stack(members=(ct.rate_cap(None), ct.calibration(ATTRIBUTES["group"], bins=3)))
    record = to_record(own) | {"members": [{"type": "mine:Mine", "opaque": "a function"}]}
    run.manifest["constraint"] |= {"record": record, "asked": None, "name": "mine"}
    assert "constraint,  # mine, as it was given" in of_trial(run, 4)[0].text


def test_commands_import_what_no_package_declares(tmp_path):
    """A constraint and a model by their place; one that is declared, or faro's own, needs nothing."""
    folder = Invented().write(tmp_path)
    parts = [{"type": "mine.notions:Mixed", "options": {}}, {"type": "equalized_odds", "options": {}}]
    constraint = json.loads((folder / "manifest.json").read_text())["constraint"]
    stacked = constraint | {"record": {"type": "constraints:Stack", "options": {"members": parts}}}
    run = recorded(
        folder, constraint=stacked, model={"record": {"type": "mine.nets:Net", "options": {}}, "asked": None}
    )
    lines = [line for command in of_trial(run, 4) for line in command.text.splitlines() if "faro" in line]
    for line in lines:
        needed = line.startswith(("faro score", "faro policy"))
        assert ("--plugin mine.notions:Mixed --plugin mine.nets:Net" in line) == needed, line


def test_names_cannot_leave_their_place_in_a_command(tmp_path):
    """A shell reads back the very words, whatever they hold."""
    odd = "a b'; $(rm -rf ~) {seed} `x`"
    folder = Invented(name=odd).write(tmp_path / odd.replace("/", ""))
    for command in of_trial(recorded(folder, command=""), 4)[1:]:
        for line in command.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            assert words[0] == "faro"
            assert not {"rm", "-rf", ";"} & set(words)
    assert odd in shlex.split(of_trial(read_run(folder), 4)[1].text)


# Two runs -------------------------------------------------------------------------------------------------------------


def test_two_runs_are_held_against_each_other(folder, tmp_path):
    other = Invented(bounds=(0.05, 0.3), seeds=2, seed=8, setting=1000).write(tmp_path / "other")
    runs = read_run(folder), read_run(other)
    runs[1].trials["dev_gap"] += 0.01
    told, warnings = differences(*runs)
    said = dict(told)
    assert not warnings
    assert said["setting steps"] == "2000 / 1000"
    assert said["seeds"] == "0, 1, 2 / 0, 1; development parts have not all the same people"
    assert said["bounds"] == "4 / 2, of which 1 are in both"
    assert said["data"].startswith("the same: invented, 1,396 people, digest 0000")
    path = write_comparison(*runs, tmp_path / "compare.html")
    text = path.read_text()
    parsed = Page(text)
    assert not parsed.loaded
    assert "run and other are runs on the same data. What was recorded of them differs in " in parsed.text
    assert len(json.loads(re.search(r'id="records">(.*?)</script>', text, re.S)[1])["runs"]) == 2
    ours, theirs = (run.trials[run.trials["bound"] == 0.05].set_index("seed")["dev_gap"] for run in runs)
    change = (theirs - ours).dropna()
    assert f"<td>{theirs.mean():.3f}</td>" in text and f"<td>{ours[:2].mean():.3f}</td>" in text  # of shared seeds
    assert abs(change.mean()) > 0.001
    expected = f"<td>{change.mean():+.3f} <small>({change.min():+.3f} to {change.max():+.3f})</small></td>"
    assert expected in text
    assert write_comparison(*runs, tmp_path / "again.html").read_text() == text


def test_a_run_does_not_differ_from_itself(folder, tmp_path):
    run = read_run(folder)
    text = Page(write_comparison(run, run, tmp_path / "same.html").read_text()).text
    assert "run (1) and run (2) are runs on the same data. Nothing else that was recorded differs." in text
    assert " 0.000 " in text and "-0.000" not in text
    other = read_run(Invented(bounds=(0.3,), seeds=1).write(tmp_path / "other"))
    other.trials.loc[:, "seed"] = 9
    text = Page(write_comparison(run, other, tmp_path / "apart.html").read_text()).text
    assert "The runs share no bound" in text and "The runs share no seed" in text


def test_runs_on_other_data_are_refused_and_other_constraints_warned_of(folder, tmp_path):
    run = read_run(folder)
    named = read_run(Invented(name="another").write(tmp_path / "named"))
    data = dict(run.data, digest="1" * 64)
    changed = recorded(Invented().write(tmp_path / "changed"), data=data)
    for other in (named, changed):
        with pytest.raises(DataError, match="points of different data do not compare"):
            write_comparison(run, other, tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()
    other = read_run(Invented(parts=("equalized_odds(sex)",)).write(tmp_path / "odds"))
    warnings = differences(run, other)[1]
    assert len(warnings) == 1 and "The constraints differ" in warnings[0]
    assert warnings[0] in Page(write_comparison(run, other, tmp_path / "compare.html").read_text()).text


def test_names_that_would_be_formulas_are_drawn(tmp_path):
    run = read_run(Invented(name="$\\frac$ _x").write(tmp_path / "_$\\frac$"))
    write_pictures(run, tmp_path)
    text = write_comparison(run, read_run(Invented(name="$\\frac$ _x").write(tmp_path / "b")), tmp_path / "c.html")
    assert "_$\\frac$" in text.read_text().partition("<figcaption>")[0]


# The model card -------------------------------------------------------------------------------------------------------


def card(run: Run, row: int, tmp_path: Path) -> tuple[dict, str]:
    """Front matter as YAML, and the rest."""
    text = write_card(run, row, tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8")
    start, front, rest = text.split("---\n", 2)
    assert start == ""
    return yaml.safe_load(front), rest


def test_the_card_of_a_point(folder, tmp_path):
    run = read_run(folder)
    row = point(run, 0.1, 1)
    member = run.trials.iloc[row]
    assert (member["bound"], member["seed"]) == (0.1, 1)
    front, text = card(run, row, tmp_path)
    (entry,) = front["model-index"]
    (result,) = entry["results"]  # no certificate, so the development part alone
    assert entry["name"] == "invented, demographic parity (sex), bound 0.1, seed 1"
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values == {"accuracy": member["dev_accuracy"], "gap": member["dev_gap"]}  # every digit
    assert set(result) == {"task", "dataset", "metrics"}
    assert front["library_name"] == "faro" and "license" not in front
    for column in ("accuracy", "gap", "nll", "ece"):
        row_of = next(line for line in text.splitlines() if line.startswith(f"| {column}"))
        for part in ("dev", "train", "selection"):
            assert f"| {member[f'{part}_{column}']:.4f} " in row_of
        some = run.trials.loc[run.trials["bound"] == 0.1, f"dev_{column}"]
        assert f"| {some.mean():.4f} ({some.min():.4f}-{some.max():.4f}) |" in row_of
    rates = [member["dev_rate[sex=2]"], member["train_rate[sex=2]"]]
    assert f"| sex=2 | {rates[0]:.4f} | {rates[1]:.4f} |" in text
    for part in ("none needed", "1,396 people", "0" * 64, "python: 3.11.7", "pairs within one group count too"):
        assert part in text
    assert "```sh\nfaro frontier --data invented --out again\n```" in text
    assert "```sh\nfaro train --data invented --bound 0.1 --seed 1 --out bound03-seed1\n```" in text
    assert "## Certificate\n\nNone: nobody has shown anything" in text
    assert not re.search(r"\b(fair|unbiased|guaranteed|debiased)\b", text)


def test_which_point_a_card_is_about(folder, tmp_path):
    run = read_run(folder)
    assert point(run) == run.at(0.1)[0]  # the bound of the headline
    assert point(run, 0.15) == run.at(0.1)[0]  # within a tighter bound is within this one
    assert point(run, math.inf, 2) == run.at(math.inf)[2]
    for bound, seed, words in ((0.001, None, r"no bound of at most 0\.001; its bounds are 0\.02, 0\.05"),
                               (0.1, 7, "seed 7; its seeds are 0, 1, 2"), (math.nan, None, "nan")):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            point(run, bound, seed)
    none = read_run(Invented(diverged=(0, 1, 2)).write(tmp_path / "none"))
    with pytest.raises(DataError, match="DIVERGED"):
        write_card(none, 0, tmp_path / "card.md")
    infeasible = read_run(Invented(status="INFEASIBLE", seeds=1).write(tmp_path / "infeasible"))
    _, text = card(infeasible, point(infeasible), tmp_path)
    assert "this model is INFEASIBLE" in text and "nothing is known of the spread over seeds" in text


@pytest.mark.parametrize(
    "evil",
    ["</script><script>alert(1)</script>", "a: b # c\n- d", '"\\"', "---", "| a | b |", "[x](javascript:alert(1))",
     "{a: 1}", "*b* _c_ `d` ```", "\u2028\x85\ud7ff\ufeff\U0001f600", "~a~ $x$ &lt;b&gt;", "yes"],
)  # fmt: skip
def test_no_name_breaks_a_card(evil, tmp_path):
    run = read_run(
        Invented(name=evil, parts=(f"parity({evil})",), cell=evil.translate({123: "(", 125: ")"}) + "{}").write(
            tmp_path
        )
    )
    front, text = card(run, point(run), tmp_path)
    result = front["model-index"][0]["results"][0]
    assert result["dataset"]["type"] == evil
    assert "<script" not in text and not re.search(r"(?<!\\)\]\(javascript", text)
    prose = re.sub(r"^(`{3,})\w+\n.*?^\1$", "", text, flags=re.M | re.S)
    table = [line for line in prose.splitlines() if line.startswith("|") and "0." in line]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} <= {6, 7}
    assert len(re.findall(r"^## ", prose, re.M)) == 8


def test_a_certificate_that_says_something_else_is_refused(folder, tmp_path):
    run = certify(folder)
    row = run.at(0.1)[0]
    front, text = card(run, row, tmp_path)
    tuned, audited = front["model-index"][0]["results"]
    assert [tuned["dataset"]["split"], audited["dataset"]["split"]] == ["development", "gate"]
    assert [metric["value"] for metric in audited["metrics"]] == [run.certified[row]]
    assert "is not beside this run" in text
    record = {
        "result": {"verdict": "CERTIFIED"},
        "data": {"units": 1234},
        "sha256": "f" * 64,
        "policy_sha256": "a" * 64,
    }
    place = folder / "certificates" / "bound03-seed0.json"
    place.parent.mkdir()
    place.write_text(json.dumps(record | {"claims": {"parity": {"ucb": repr(float(run.certified[row]))}}}))
    _, text = card(run, row, tmp_path)
    assert "Audited units: 1,234" in text and "sha256 ffff" in text and "Its policy is not beside this run" in text
    for wrong in ({"claims": {"parity": {"ucb": "0.001"}}}, {"result": {"verdict": "REFUTED"}}):
        place.write_text(json.dumps(record | {"claims": {"parity": {"ucb": repr(float(run.certified[row]))}}} | wrong))
        with pytest.raises(DataError, match="files of different runs"):
            write_card(run, row, tmp_path / "card.md")
    place.write_text("{}")
    with pytest.raises(DataError, match="not a certificate"):
        write_card(run, row, tmp_path / "card.md")


def test_certified_slack_is_drawn_and_listed_where_there_is_any(folder):
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    def drawn(run):
        ax = Figure().add_subplot()
        draw_frontier(run, ax)
        return ax, [line for line in ax.lines if line.get_label() == "certified: at most"]

    before = read_run(folder)
    assert np.isnan(before.certified).all()
    assert not drawn(before)[1]
    assert "certified at most" not in page(folder)[0]
    run = certify(folder)
    ax, (ticks,) = drawn(run)
    at = np.flatnonzero((run.certified < 1) & run.trials["pareto"])
    assert len(at) == run.trials["pareto"].sum() - 1  # not the vacuous one
    assert ticks.get_xdata() == pytest.approx(run.certified[at])
    assert ticks.get_ydata() == pytest.approx(run.trials["dev_accuracy"].to_numpy()[at])
    drawn_bars = [one for one in ax.collections if isinstance(one, LineCollection)]
    bars = [segment for one in drawn_bars for segment in one.get_segments() if segment[1, 0] in run.certified]
    assert sorted(bar[0, 0] for bar in bars) == pytest.approx(sorted(run.gap("dev")[at]))
    assert ax.get_xlim()[1] > run.certified[at].max()
    text, _ = page(folder)
    largest = max(run.certified[at][run.trials["bound"].to_numpy()[at] == 0.1])
    assert f"<td>{math.ceil(1000 * largest) / 1000:.3f} <small>(3 of 3)</small></td>" in text  # rounded up
    for part in ("vacuous", "<td>refuted</td>", "<td>certified</td>", "read once", "Green ticks"):
        assert part in text
    table = summary_table(run).set_index("bound")
    assert table.loc[0.1, "certified_slack"] == pytest.approx(largest)
    assert table.loc[math.inf, "certified_members"] == 0
    write_pictures(run, folder)


def series_of(run, style):
    return [point for one in panel(run).series if one.style == style for point in one.points]


def test_filled_points_and_the_line_are_judged_on_what_is_drawn(tmp_path):
    folder = Invented().write(tmp_path / "run")
    table = pd.read_csv(folder / "frontier.csv")
    table["pareto"] = False  # what selection says
    at = {"dev_gap": [0.03, 0.06, 0.09, 0.2, 0.3], "dev_accuracy": [0.7, 0.74, 0.73, 0.75, 0.76]}
    for name, values in at.items():
        table[name] = np.repeat(values, 3) + np.tile([-0.001, 0, 0.001], 5)
    table.to_csv(folder / "frontier.csv", index=False)
    run = read_run(folder)
    assert [point.x for point in series_of(run, "best")] == pytest.approx([0.03, 0.06, 0.2])
    assert [point.x for point in series_of(run, "rest")] == pytest.approx([0.09])  # below and to the right of .06
    line = series_of(run, "line")
    assert [point.x for point in line] == pytest.approx([0.03, 0.06, 0.2, 0.3])  # to the unconstrained
    assert [point.up for point in line] == [pytest.approx((y - 0.001, y + 0.001)) for y in (0.7, 0.74, 0.75, 0.76)]
    table.loc[table["bound"] == 0.05, "status"] = "INFEASIBLE"  # a cross neither joins nor dominates
    table.to_csv(folder / "frontier.csv", index=False)
    assert [point.x for point in series_of(read_run(folder), "best")] == pytest.approx([0.03, 0.09, 0.2])


@pytest.mark.slow
def test_a_title_stands_over_page_and_pictures_until_it_is_taken_back(folder, capsys):
    words = "Who is hired & why: <2026>"
    assert main(["report", str(folder), "--title", words]) == 0
    text, _ = page(folder)
    assert f"<h1>{html.escape(words)}</h1>" in text and "invented, 1,396 people" in text
    assert main(["report", str(folder)]) == 0
    run = read_run(folder)
    assert draw_frontier(run).axes[0].get_title() == words and run.title == words
    assert main(["report", str(folder), "--title", ""]) == 0
    assert draw_frontier(read_run(folder)).axes[0].get_title() == "demographic parity (sex)\ninvented, 1,396 people"
    assert main(["report", str(folder), str(folder), "--title", words]) == 2
    assert "--title is for the report of one run" in capsys.readouterr().err


def test_bars_and_labels_do_not_lie_over_each_other_at_close_bounds(tmp_path):
    run = read_run(Invented(bounds=tuple(np.geomspace(0.01, 0.0117, 10).round(5))).write(tmp_path))
    points = [point for style in ("best", "rest", "free") for point in series_of(run, style)]
    assert len(points) == 11 and sum(bool(point.label) for point in points) == 1
    barred = [point for point in points if point.across]
    assert 1 < len(barred) < 11
    for place, one in enumerate(barred):
        for other in barred[:place]:
            apart = [a[0] > b[1] or b[0] > a[1] for a, b in ((one.across, other.across), (one.up, other.up))]
            assert any(apart)


def test_population_values_are_drawn_where_they_are_known(tmp_path):
    axes = draw_frontier(read_run(Invented(known=True).write(tmp_path))).axes[0]
    assert axes.get_xlabel() == "gap in the known population"
    assert "true frontier" in axes.get_legend_handles_labels()[1]


STEPS = np.arange(80)
ENDINGS = {  # gap by step at bound .1, multiplier by step, whether a multiplier is at its cap
    "settled": (0.1 - 0.01 * np.cos(STEPS) * 0.9**STEPS + 0.1 * 0.8**STEPS, 1 - 0.9**STEPS, False),
    "oscillating": (0.1 + 0.05 * np.sin(STEPS), 1 + np.sin(STEPS), False),
    "unfinished": (0.1 + 0.2 * 0.98**STEPS, 0.01 * STEPS, False),
    "infeasible": (0.15 + 0.2 * 0.8**STEPS, 0.01 * STEPS, False),
    "infeasible at the cap": (0.15 + 0.2 * 0.8**STEPS, np.minimum(0.1 * STEPS, 1), True),
    "diverged": (np.where(STEPS > 60, np.nan, 0.2), 0.01 * STEPS, False),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_how_training_ended_is_read_off_the_traces(name):
    gap, multiplier, capped = ENDINGS[name]
    members = pd.DataFrame({"bound": [0.1, math.inf]})
    traces = {
        "loss": np.ones((2, 80)), "capped": np.full((2, 80), capped), "gap": np.stack([gap, gap])[..., None],
        "violation": np.stack([gap - 0.1, gap * 0 - math.inf])[..., None],
        "multiplier": np.stack([multiplier, multiplier])[..., None],
    }  # fmt: skip
    run = Run(Path(), members, traces, {})
    assert ending(run, 0) == name.split()[0]
    assert ending(run, 1) == ("diverged" if name == "diverged" else "unconstrained")


@pytest.mark.parametrize("name", ["frontier.csv", "traces.npz", "manifest.json"])
def test_missing_or_damaged_file_is_one_line(folder, name):
    whole = (folder / name).read_bytes()
    for damage in (b"", b"\x00\xff\x00", whole[: len(whole) // 3]):
        (folder / name).write_bytes(damage)
        with pytest.raises(DataError, match=name) as caught:
            read_run(folder)
        assert "\n" not in str(caught.value)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"no {name}"):
        read_run(folder)


def change(folder: Path, column: str, value) -> None:
    members = pd.read_csv(folder / "frontier.csv").astype({column: object})
    members.loc[1, column] = value
    members.to_csv(folder / "frontier.csv", index=False)


@pytest.mark.parametrize(
    ("column", "value"), [("status", "FINE"), ("pareto", "maybe"), ("bound", ""), ("dev_accuracy", "high")]
)
def test_strange_cell_is_refused(folder, column, value):
    change(folder, column, value)
    with pytest.raises(DataError, match=column):
        read_run(folder)


@pytest.mark.parametrize(("column", "value"), [("certified_slack", "low"), ("certified_verdict", "FINE")])
def test_strange_certificate_is_refused(folder, column, value):
    certify(folder)
    change(folder, column, value)
    with pytest.raises(DataError, match=column):
        read_run(folder)


def test_files_of_different_runs_are_refused(folder, tmp_path):
    other = Invented(seeds=1).write(tmp_path / "other")
    (other / "traces.npz").rename(folder / "traces.npz")
    with pytest.raises(DataError, match=r"traces\.npz: loss: expected shape"):
        read_run(folder)


def test_trace_of_no_member_is_refused(folder):
    with pytest.raises(UsageError, match=r"expected 0\.\.14, got 15"):
        draw_traces(read_run(folder), 15)
