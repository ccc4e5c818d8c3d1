"""report.html of invented runs: whole, self-contained, the same to the byte, with the numbers of the files."""

from __future__ import annotations

import html
import html.parser
import json
import math
import re
from importlib import resources

import numpy as np
import pytest

from faro.cli import main
from faro.report import draw_frontier, draw_traces, read_run, summary_table, write_pictures, write_report
from tests.builders.invented import Invented, page

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


def records(text: str) -> dict:
    """What the script of a page is given of its run."""
    found = re.search(r'id="records">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])["runs"][0]


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
