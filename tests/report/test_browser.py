"""The report as a reader meets it, in headless Chromium: `make test-browser`. Without Chromium these tests fail."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from faro.report import read_run, write_comparison, write_report
from faro.report._page import page, training
from faro.report._series import Panel, Point, Series, panel
from tests.builders.browser import MISSING, Browser, chromium
from tests.builders.invented import Invented, certify

pytestmark = pytest.mark.browser
DESKTOP, PHONE = 1280, 390
EVIL = "</script><script>document.title='broken into'</script><img src=x onerror=\"document.title='broken into'\">"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    try:
        found = Browser(tmp_path_factory.mktemp("profile"))
    except RuntimeError as missing:
        pytest.exit(str(missing), returncode=1)
    yield found
    found.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run whose population is not known, with certificates and a member that diverged."""
    folder = Invented(diverged=(4,)).write(tmp_path_factory.mktemp("runs") / "run")
    certify(folder)
    write_report(read_run(folder), folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """Another run on the same data, looser by one bound, with another setting."""
    return Invented(bounds=(0.03, 0.05, 0.1), seed=8, setting=1000).write(tmp_path_factory.mktemp("runs") / "other")


def opened(browser: Browser, place: Path, width: int = DESKTOP, **how) -> None:
    browser.open(place, width, **how)
    assert not browser.complaints, browser.complaints


def shown(text: str, name: str) -> list[float]:
    """The numbers that stand behind a name in a tip or a table."""
    found = re.search(re.escape(name) + r" ([-0-9. ()of]+)", text)
    assert found, f"no {name!r} in {text!r}"
    return [float(number) for number in re.findall(r"\d+\.\d+", found[1])]


def agree(browser: Browser, folder: Path, spots: list[int] | None = None) -> None:
    """Every point's tip, and the table of the member that it chooses, hold the numbers of frontier.csv."""
    members = pd.read_csv(folder / "frontier.csv")
    bounds = [*sorted(b for b in members["bound"].unique() if math.isfinite(b)), math.inf]
    for spot, bound in enumerate(bounds):
        if spots is not None and spot not in spots:
            continue
        browser.click(f'.point[data-spot="{spot}"]')
        tip, some = browser.text(".tip"), members[members["bound"] == bound]
        assert tip.startswith(f"bound {bound:g} " if math.isfinite(bound) else "unconstrained "), tip
        for name, column in (("gap, development", "dev_gap"), ("accuracy, development", "dev_accuracy")):
            values = some[column].dropna()
            assert shown(tip, name) == pytest.approx([values.mean(), values.min(), values.max()], abs=5.1e-4), name
        slack = some["certified_slack"].dropna()
        assert ("certified" in tip) == bool(len(slack))
        if len(slack) and slack.max() < 1:
            assert 0 <= shown(tip, "gap certified at most")[0] - slack.max() <= 1e-3  # rounded up
        for cell in ("sex=0", "sex=1", "sex=2"):
            assert shown(tip, f"rate, {cell[-1]}")[0] == pytest.approx(some[f"dev_rate[{cell}]"].mean(), abs=5.1e-4)
        member = some[some["status"] == "FEASIBLE"].iloc[0]
        title = (
            f"bound {bound:g}, seed {member['seed']}"
            if math.isfinite(bound)
            else f"unconstrained, seed {member['seed']}"
        )
        assert browser.text("#member h2") == f"Operating point: {title}"
        said, figures = browser.text("#said"), browser.text("#figures")
        assert said.startswith(f"status {member['status']}: ")
        assert ("yes" in said) == member["pareto"]
        if isinstance(member["certified_verdict"], str):
            assert f"certificate {member['certified_verdict']} under its policy" in said
        for name, column in (("accuracy", "accuracy"), ("gap", "gap"), ("nll, in nats", "nll"), ("ece", "ece")):
            expected = [member[f"{part}_{column}"] for part in ("dev", "train", "selection")]
            assert shown(figures, name) == pytest.approx(expected, abs=5.1e-5), name
        rates = browser.js(
            "[...document.querySelectorAll('#rates .row:not(.head)')].map((row) => row.lastChild.textContent)"
        )
        for row, cell in zip(rates, ("sex=0", "sex=1", "sex=2"), strict=True):
            expected = [member[f"{part}_rate[{cell}]"] for part in ("dev", "train")]
            assert [float(each) for each in row.split(" / ")] == pytest.approx(expected, abs=5.1e-4)


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("FARO_CHROMIUM", raising=False)
    with pytest.raises(RuntimeError, match="apt-get install chromium"):
        chromium()
    assert "FARO_CHROMIUM" in MISSING


def test_points_say_and_choose_what_the_table_holds(browser, folder):
    opened(browser, folder / "report.html")
    agree(browser, folder)
    assert browser.requests == [(folder / "report.html").resolve().as_uri()]
    assert not browser.complaints


@pytest.mark.parametrize("fault", ["a point's accuracy", "a member's gap", "a rate", "a place"])
def test_a_planted_fault_is_caught(fault, browser, folder, tmp_path):
    text = (folder / "report.html").read_text()
    places = {"a point's accuracy": r'(\["accuracy, development","0\.)(\d)', "a member's gap": r'(\["gap","0\.)(\d)'}
    places["a rate"] = r'("rates":\{"dev":\[0\.)(\d)'
    if fault in places:
        planted = re.sub(places[fault], lambda found: f"{found[1]}{(int(found[2]) + 5) % 10}", text)
    else:  # the first two points are exchanged
        first, second = re.findall(r'"rows":\[\d+,\d+,\d+\]', text)[:2]
        planted = text.replace(first, "HERE", 1).replace(second, first, 1).replace("HERE", second, 1)
    assert planted != text
    (tmp_path / "report.html").write_text(planted)
    opened(browser, tmp_path / "report.html")
    with pytest.raises(AssertionError):
        agree(browser, folder)


def test_hovering_and_leaving(browser, folder):
    opened(browser, folder / "report.html")
    before = browser.text("#member h2")
    browser.point('.point[data-spot="3"]')
    assert browser.text(".tip").startswith("bound 0.2 ")
    assert browser.text("#member h2") == before  # pointing at a point does not choose it
    browser.point("h1")
    assert browser.js("document.querySelector('.tip').hidden")


def test_the_keyboard_reaches_every_point(browser, folder):
    opened(browser, folder / "report.html")
    browser.press("Tab")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert browser.js(focused).startswith("bound 0.1; status FEASIBLE (3 of 3)")  # the one that is chosen
    browser.press("Home")
    assert browser.js(focused).startswith("bound 0.02; ")
    for spot in ("bound 0.05", "bound 0.1", "bound 0.2", "unconstrained"):
        browser.press("ArrowRight")
        assert browser.text(".tip").startswith(f"{spot} ")
    browser.press("ArrowRight")  # there is no further one
    assert browser.text(".tip").startswith("unconstrained")
    browser.press("Enter")
    assert browser.text("#member h2") == "Operating point: unconstrained, seed 0"
    assert browser.text("#announced") == "Chosen: unconstrained, seed 0"
    assert browser.js("document.activeElement.getAttribute('aria-pressed')") == "true"
    outline = browser.js("getComputedStyle(document.activeElement.querySelector('circle')).strokeWidth")
    assert float(outline.removesuffix("px")) >= 2  # seen to be focused
    browser.press("ArrowLeft")
    browser.press(" ")
    assert browser.text("#member h2") == "Operating point: bound 0.2, seed 0"
    browser.press("Escape")
    assert browser.js("document.querySelector('.tip').hidden")
    browser.press("Tab")
    assert browser.js("document.activeElement.id") == "choose"  # one stop for all points


def test_a_chosen_point_gives_its_commands(browser, folder):
    opened(browser, folder / "report.html")
    texts = "[...document.querySelectorAll('#commands pre')].map((one) => one.textContent)"
    browser.click('.point[data-spot="1"]')
    again, train, score, certified = browser.js(texts)
    assert again == "faro frontier --data invented --out again"
    assert train == "faro train --data invented --bound 0.05 --seed 0 --out bound02-seed0"
    assert score == f"faro score {folder}/models/bound02-seed0.json invented --part dev --out scored.csv"
    assert certified.startswith(f"faro verify {folder}/certificates/bound02-seed0.json ")
    browser.click('.point[data-spot="4"]')
    assert browser.js(texts)[1] == "faro train --data invented --bound inf --seed 0 --out bound00-seed0"
    assert "faro ledger init gate.csv" in browser.js(texts)[3]  # no certificate yet: the way to one
    assert browser.js("location.hash") == "#point-bound00-seed0"
    browser.click("#commands .command:nth-child(2) button")
    assert browser.text("#commands .command:nth-child(2) button") in ("Copied", "Selected")
    assert browser.js("getSelection().toString()") == browser.js(texts)[1]


def test_an_address_leads_back_to_the_point(browser, folder):
    opened(browser, folder / "report.html")
    browser.call("Page.navigate", url=f"{(folder / 'report.html').resolve().as_uri()}?#point-bound03-seed2")
    browser.js("new Promise((done) => { if (document.readyState === 'complete') done(); else onload = done; })")
    assert browser.text("#member h2") == "Operating point: bound 0.1, seed 2"


def test_rows_of_the_tables_choose_too(browser, folder):
    opened(browser, folder / "report.html")
    browser.click("#run0-0 button")
    assert browser.text("#member h2") == "Operating point: bound 0.02, seed 0"
    assert browser.js("document.querySelectorAll('tr.chosen').length") == 2  # in both tables


@pytest.mark.parametrize("width", [DESKTOP, PHONE, 320])
def test_nothing_is_wider_than_the_screen(width, browser, folder, other, tmp_path):
    write_comparison(read_run(folder), read_run(other), tmp_path / "compare.html")
    for place in (folder / "report.html", tmp_path / "compare.html"):
        opened(browser, place, width)
        browser.click('.point[data-spot="2"]')
        assert browser.js("document.documentElement.scrollWidth") <= width
        tip = browser.js(
            "(() => { const r = document.querySelector('.tip').getBoundingClientRect(); return [r.left, r.right]; })()"
        )
        assert 0 <= tip[0] < tip[1] <= width


def test_a_tap_on_a_phone(browser, folder):
    opened(browser, folder / "report.html", PHONE, touch=True)
    browser.tap('.point[data-spot="3"]')
    assert browser.text(".tip").startswith("bound 0.2 ")
    assert browser.text("#member h2") == "Operating point: bound 0.2, seed 0"
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_two_runs_on_one_page(browser, folder, other, tmp_path):
    place = write_comparison(read_run(folder), read_run(other), tmp_path / "compare.html")
    opened(browser, place)
    assert "differs in setting steps and bounds" in browser.text(".headline")
    assert browser.js("document.querySelectorAll('.point').length") == 5 + 4
    members = {each.name: pd.read_csv(each / "frontier.csv") for each in (folder, other)}
    for spot, (name, bound) in enumerate(
        [("run", 0.02), ("run", 0.05), *[("", 0)] * 3, ("other", 0.03), ("other", 0.05)]
    ):
        if not name:
            continue
        browser.click(f'.point[data-spot="{spot}"]')
        some = members[name][members[name]["bound"] == bound]
        assert browser.text(".tip").startswith(f"{name}: bound {bound:g} ")
        assert shown(browser.text(".tip"), "gap, development")[0] == pytest.approx(some["dev_gap"].mean(), abs=5.1e-4)
        assert browser.text("#member h2").startswith(f"Operating point: {name}: bound {bound:g}, seed ")
    titled = "[...document.querySelectorAll('section')].find((one) => one.textContent.includes('Bound by bound'))"
    row = browser.js(
        f"[...{titled}.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"
    )
    assert [cells[0] for cells in row] == ["0.05", "0.1", "unconstrained"]
    ours, theirs = (each[each["bound"] == 0.1].set_index("seed")["dev_accuracy"] for each in members.values())
    assert float(row[1][6].split()[0]) == pytest.approx(np.mean(theirs - ours), abs=5.1e-4)
    assert browser.requests == [place.resolve().as_uri()]
    assert not browser.complaints


def test_more_panels_and_series_need_no_more_script(browser, folder, tmp_path):
    """A point that stands for no member says what it is, and chooses nothing."""
    run = read_run(folder)
    baseline = Point(0.15, 0.7, title="a baseline", facts=(("accuracy", "0.700"),))
    extra = Panel("gap", "accuracy", (Series("free", (baseline,), "a baseline"), *panel(run).series))
    how = dict.fromkeys(("title", "constraint", "subtitle", "note", "caption"), "two panels")
    text = page(**how, lead="", panels=[panel(run), extra], runs=[run], names=[""], sections=[training([run])])
    (tmp_path / "two.html").write_text(text)
    (tmp_path / "one.html").write_text(page(**how, lead="", panels=[panel(run)], runs=[run], names=[""], sections=[]))
    wide = "[...document.querySelectorAll('.plot svg')].map((plot) => plot.getBoundingClientRect().width)"
    for width in (DESKTOP, PHONE):
        opened(browser, tmp_path / "one.html", width)
        alone = browser.js(wide)
        opened(browser, tmp_path / "two.html", width)
        assert browser.js(wide) == alone * 2  # beside nobody, so that a picture keeps its size
        assert browser.js("document.documentElement.scrollWidth") <= width
        before = browser.text("#member h2")
        browser.click('.plot[data-panel="1"] .point[data-spot="0"]')
        assert browser.text('.plot[data-panel="1"] .tip') == "a baseline accuracy 0.700"
        assert browser.text("#member h2") == before
        browser.click('.plot[data-panel="1"] .point[data-spot="2"]')
        assert browser.text("#member h2") == "Operating point: bound 0.05, seed 0"
        assert browser.js("document.querySelectorAll('.point.chosen').length") == 2  # in both panels
    assert not browser.complaints


def test_markup_in_names_does_nothing(browser, tmp_path):
    folder = Invented(name=EVIL, parts=(f"parity({EVIL})",), cell=EVIL + "{}").write(tmp_path / "run")
    run = read_run(folder)
    opened(browser, write_report(run, folder))
    browser.click('.point[data-spot="1"]')
    assert EVIL.partition("=")[2] in browser.text(".tip")  # what is before is taken for the attribute
    assert EVIL in browser.text("h1")
    assert browser.js("document.title") == f"faro: {EVIL}"
    assert browser.js("document.querySelectorAll('img').length") == 0
    opened(browser, write_comparison(run, run, tmp_path / "compare.html"))
    browser.click('.point[data-spot="1"]')
    assert browser.js("document.querySelectorAll('img, main script').length") == 0
    assert browser.js("document.title").startswith("faro: run")


def test_it_is_of_use_without_scripts(browser, folder):
    browser.open(folder / "report.html", DESKTOP, scripts=False)
    # scripts of the page are off; those of the debugger still run
    assert browser.js("document.getElementById('member').hidden")
    assert browser.js("document.querySelectorAll('.point title').length") == 5  # shown by the browser itself
    assert "Scripts are off" in browser.text("noscript")
    target = browser.js("document.querySelector('.point').getAttribute('href')")
    assert browser.text(target).startswith("0.02 ")  # the row of its bound
    browser.open(folder / "report.html", DESKTOP)


def test_on_paper(browser, folder, tmp_path):
    opened(browser, folder / "report.html")
    browser.point('.point[data-spot="1"]')
    browser.call("Emulation.setEmulatedMedia", media="print")
    gone = "['.tip', '.hint', '#choose', '.command button']"
    hidden = f"{gone}.map((one) => getComputedStyle(document.querySelector(one)).display)"
    assert browser.js(hidden) == ["none"] * 4
    assert browser.text("#member h2").startswith("Operating point: bound 0.1, seed")  # what the selector said
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.call("Emulation.setEmulatedMedia", media="")
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_in_the_dark(browser, folder):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    opened(browser, folder / "report.html")
    assert browser.js("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
    browser.call("Emulation.setEmulatedMedia", features=[])


def test_a_request_would_be_seen(browser, folder, tmp_path):
    """The control: a page that asks for something is caught by what the other tests look at."""
    text = (folder / "report.html").read_text().replace("</main>", '<img src="picture.png" alt=""></main>')
    (tmp_path / "report.html").write_text(re.sub(r"<meta http-equiv=.Content-Security-Policy.*?>", "", text))
    browser.open(tmp_path / "report.html", DESKTOP)
    assert len(browser.requests) == 2
    assert browser.complaints
    (tmp_path / "report.html").write_text(text)
    browser.open(tmp_path / "report.html", DESKTOP)  # the page's own policy refuses it
    assert "Content Security Policy" in browser.complaints[0]
