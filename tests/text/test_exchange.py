"""Words exchanged by rules: whole words in their cases, the longest first, ambiguous ones resolved or left."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faro.data.registry import locate
from faro.data.sets import SETS
from faro.data.twin_sets import lines
from faro.errors import UsageError
from faro.text.exchange import Exchange, Rules
from faro.text.words import Finder, shapes

LEVELS = ["female", "male"]
PRONOUNS = [["she", "he"], ["herself", "himself"], ["her", "him"], ["her", "his"], ["hers", "his"]]
RESOLVE = [
    {"row": ["her", "him"], "before": ["", "to", "that"]},
    {"row": ["hers", "his"], "before": [""]},
    {"row": ["her", "his"], "before": ["*"]},
]
NOUNS = [["woman", "man"], ["young woman", "young lad"], ["Mary", "John"], ["Grace", "Will"]]
NOUNS += [["aunt's house", "uncle's home"]]
ONE_TO_ONE = Rules.from_dict({"levels": LEVELS, "words": [["she", "he"], ["herself", "himself"], *NOUNS]})
RULES = Rules.from_dict({"levels": LEVELS, "words": PRONOUNS + NOUNS, "resolve": RESOLVE})
over, back = (Exchange(ONE_TO_ONE, *levels) for levels in (LEVELS, LEVELS[::-1]))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("She said SHE was herself.", "He said HE was himself."),
        ("the sheep and the ash: she-wolf, she's, «she»", "the sheep and the ash: he-wolf, he's, «he»"),
        ("a young woman, Young Woman, YOUNG WOMAN, Young woman", "a young lad, Young Lad, YOUNG LAD, Young lad"),
        ("Mary will, Will will", "John will, Grace will"),
        ("My aunt's house. My Aunt\u2019s house", "My uncle's home. My Uncle\u2019s home"),
        ("_she_ sat; she_sat; she2", "_he_ sat; he_sat; she2"),
        ("shé and she\u0301 and É she", "shé and she\u0301 and É he"),
        ("he told the woman", "she told the man"),
        ("", ""),
    ],
)
def test_words_are_exchanged_whole_and_in_their_case(text, wanted):
    its = over(text)
    assert its.text == wanted and not its.ambiguous
    assert back(wanted).text == text
    assert (its.at >= 0) == (text != wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("her book is hers.", "his book is his."),
        ("He saw her. Ask her to go", "She saw him. Ask him to go"),
        ("his own; it is his", "her own; it is hers"),
        ("Her, HER dog", "Him, HIS dog"),
    ],
)
def test_ambiguous_words_are_what_follows_says(text, wanted):
    assert Exchange(RULES, *LEVELS)(text) == (wanted, Exchange(RULES, *LEVELS)(text).at, ())


def test_a_word_that_nobody_can_resolve_is_named_and_left():
    rules = Rules.from_dict({"levels": LEVELS, "words": PRONOUNS})
    assert Exchange(rules, *LEVELS)("She saw Her dog and her.") == ("He saw Her dog and her.", 0, ("Her", "her"))
    assert Exchange(RULES, "male", "female")("him and his") == ("her and hers", 0, ())


def test_three_levels_and_agreement_by_rows_of_several_words():
    words = [["she is", "he is", "they are"], ["she's", "he's", "they're"], ["she", "he", "they"]]
    rules = Rules.from_dict({"levels": ["f", "m", "n"], "words": [*words, ["you", "you", "y'all"]]})
    assert Exchange(rules, "f", "n")("She is you, he is not; she's").text == "They are y'all, he is not; they're"
    assert Exchange(rules, "f", "m")("They are you").text == "They are you"
    assert rules.of_level("m") == ("he is", "he's", "he") and rules.of_level("n")[-1] == "y'all"


PIECES = st.one_of(
    st.sampled_from([shape for row in ONE_TO_ONE.words for word in row for shape in shapes(word)]),
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.sampled_from([" ", ", ", ".", "'s", "\u2019", "-", "_", "\u0301", "\n"]),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
@pytest.mark.slow
def test_one_to_one_rules_give_every_text_again(text):
    assert back(over(text).text).text == text


def test_few_words_are_found_as_many_are(monkeypatch):
    words, text = ["he", "her own", "É", "he's", "a-b"], "he her own hers HE he's É Éa a-b a-bc _he_ he\u0301"
    few = list(Finder(words)(text))
    monkeypatch.setattr("faro.text.words.FEW", 0)
    assert [*Finder(words)(text)] == few and len(few) == 6


def test_the_longest_word_is_found_first():
    assert list(Finder(["young", "young man", "man"])("a young man, a man")) == [(2, "young man"), (15, "man")]
    with pytest.raises(ValueError, match="begins with a letter or a digit, got '-x'"):
        Finder(["-x"])


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"levels": ["a"], "words": [["x"]]}, "expected two or more different levels"),
        ({"levels": LEVELS}, "expected rows of words, got none"),
        ({"levels": LEVELS, "words": [["she"]]}, r"expected different words for female, male, .* got \['she'\]"),
        ({"levels": LEVELS, "words": [["she", "she"]]}, "expected different words"),
        ({"levels": LEVELS, "words": [["she", "-he"]]}, "beginning with a letter"),
        ({"levels": LEVELS, "words": [["she", 1]]}, r"expected a list of texts, got \['she', 1\]"),
        ({"levels": LEVELS, "words": 1}, "words: expected a list of rows, got 1"),
        ({"levels": LEVELS, "words": [["a", "b"]], "pairs": 1}, "unknown key 'pairs'; known: levels, words"),
        ({"levels": LEVELS, "words": [["a", "b"]], "resolve": [{"row": ["a"], "before": [""]}]}, "a row of `words`"),
        ({"levels": LEVELS, "words": [["a", "b"]], "resolve": [{"row": ["a", "b"]}]}, "the keys row and before"),
        ({"levels": LEVELS, "words": [["a", "b"]], "sha256": "0"}, "sha256 is of other words"),
        ([], "expected a table of levels and words"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(values, reason):
    with pytest.raises(UsageError, match=reason):
        Rules.from_dict(values)


def test_rules_of_a_file(tmp_path):
    assert Exchange(Rules.named("gender"), *LEVELS)("She told her: it's HERS.").text == "He told him: it's HIS."
    path = tmp_path / "gender.toml"
    path.write_text('levels = ["female", "male"]\nwords = [["she", "he"]]\n', encoding="utf-8")
    rules = Rules.read(path)
    assert rules.origin == "word exchange by rules gender.toml: not causal" and len(rules.sha256) == 64
    path.write_text('# a remark\nlevels = ["female", "male"]\nwords = [["she", "he"]]\n', encoding="utf-8")
    assert Rules.read(path) == rules
    with pytest.raises(UsageError, match=r"no.toml: cannot be read: No such file"):
        Rules.read(tmp_path / "no.toml")
    path.write_text("levels = [", encoding="utf-8")
    with pytest.raises(UsageError, match="not TOML"):
        Rules.read(path)


@pytest.mark.real_data
def test_english_words_of_gender_are_exchanged_as_authors_did():
    """The sentences of WinoBias and Winogender, whose authors wrote both genders."""
    exchange = Exchange(Rules.named("gender"), *LEVELS)
    found = {}
    for name, side in (("winobias", "first"), ("winogender", "occupation")):
        frame = SETS[name].read(*(lines(path) for path in SETS[name].paths(locate(name))))[0]
        frame, column = frame[frame["gender"].isin(LEVELS)], f"{side}_answer"
        twin = frame[f"{column}:gender=female"].where(frame["gender"] == "male", frame[f"{column}:gender=male"])
        own, other = (texts.str.partition(' Here "')[0] for texts in (frame[column], twin))
        same = [exchange(one).text == two for one, two in zip(own, other, strict=True) if two]
        found[name] = (sum(same), len(same))
    assert found == {"winobias": (3_038, 3_130), "winogender": (480, 480)}
