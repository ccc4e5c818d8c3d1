"""What a schema declares of single features and attributes: one record a kind, each a table of its own in TOML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from constraints import Attribute
from faro.errors import UsageError
from faro.text.exchange import Rules

from .values import plain_text

SCALINGS = ("joint", "each", "none")
KEPT, REWRITTEN = HISTORIES = ("kept", "rewritten")  # what twins make of a person's earlier choices
FEATURES = "features"  # the name of the coded features beside raw arrays


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttributeSpec:
    """A declared attribute: the `column` (default: its name) whose cells are the `levels`, of the chooser or of an
    alternative. Cells that are no level are an error, or with `others = "exclude"` apply to nobody (-1).

    lexicon: level -> its words, separated by commas; then the table needs no such column: it says which level's words
        the column `text` has, "both" of several, "neither" of none (`faro.data.lexicon`). With a `text` and no lexicon
        it is the words of the rules of the attribute's twins
    """

    name: str
    levels: tuple[str, ...]
    column: str = ""
    chooser: bool = False
    others: str = "error"
    text: str = ""
    lexicon: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self):
        object.__setattr__(self, "name", one_text(self.name, "attribute"))
        object.__setattr__(self, "text", one_text(self.text, "attribute"))
        object.__setattr__(self, "column", one_text(self.column, f"attribute {self.name!r}") or self.name)
        given = self.levels
        object.__setattr__(self, "levels", tuple(one_text(level, f"attribute {self.name!r}") for level in given))
        apart(self.name, given, self.levels)
        if len(self.levels) < 2:
            raise UsageError(f"attribute {self.name!r}: expected two or more different levels, got {list(self.levels)}")
        if self.lexicon and not self.text:
            raise UsageError(f"attribute {self.name!r}: `text`, a column of texts, and `lexicon` go together")
        for level, words in self.lexicon.items():
            if level not in self.levels or not words.strip(", "):
                raise UsageError(
                    f"attribute {self.name!r}: lexicon: expected words of a level, got {level!r} = {words!r}"
                )
        if self.others not in ("error", "exclude"):
            raise UsageError(f"attribute {self.name!r}: others is 'error' or 'exclude', got {self.others!r}")

    @property
    def attribute(self) -> Attribute:
        """As the constraints know it."""
        return Attribute(self.name, self.levels, self.chooser)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Only:
    """A restriction of the design: where `column` is `equals`, an alternative supports only these `levels`."""

    column: str
    equals: str
    levels: tuple[str, ...]

    def __post_init__(self):
        for field in ("column", "equals"):
            object.__setattr__(self, field, one_text(getattr(self, field), "only"))
        object.__setattr__(self, "levels", tuple(one_text(level, "only") for level in self.levels))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwinSpec:
    """Twins of an attribute: the same choices with it set to every level, and with it the features that change.

    attribute: its name; where its column is a categorical feature, that is set to the level
    origin: in plain words how the twins arise (randomised, generated, rewritten, the model's input exchanged)
    only: the twins that the design excludes (`Only`)
    features: those whose values at each level the table brings, in a column `FEATURE:ATTRIBUTE=LEVEL` (of an array: its
        index, or another array of that name); default: those that it has such columns of
    missing: what an empty cell of such a column is: an "error", or "exclude": there is no such twin. At a row's own
        level it is the row itself
    rules: of words that are exchanged, which make such columns of texts (`faro.data.rewriting`); what they do not
        rewrite has no twin, and the origin is said by them. In TOML the file that they are in, or they themselves
    texts: the texts that rules rewrite; default: all that the attribute may set
    history: of a chooser's attribute, what becomes of the earlier choices that a model reads of the person: "kept", so
        that twins show the direct effect given history, or "rewritten", each as its own twin: the effect through
        history as well (`faro.data.history`)
    """

    attribute: str
    origin: str = ""
    only: tuple[Only, ...] = ()
    features: tuple[str, ...] = ()
    missing: str = "error"
    rules: Rules | None = None
    texts: tuple[str, ...] = ()
    history: str = KEPT

    def __post_init__(self):
        object.__setattr__(self, "attribute", one_text(self.attribute, "twins"))
        choose(f"history of the twins of {self.attribute!r}", self.history, HISTORIES)
        where = f"twins of {self.attribute!r}"
        for field in ("features", "texts"):
            object.__setattr__(self, field, tuple(one_text(name, where) for name in getattr(self, field)))
        choose(f"missing of the twins of {self.attribute!r}", self.missing, ("error", "exclude"))
        if self.rules is not None:
            if self.origin not in ("", self.rules.origin):
                raise UsageError(f"{where}: `origin` is what the rules say; leave it out")
            object.__setattr__(self, "origin", self.rules.origin)
            object.__setattr__(self, "missing", "exclude")
        elif not self.origin:
            raise UsageError(f"{where}: key 'origin' is needed: in plain words how they arise")
        elif self.texts:
            raise UsageError(f"{where}: `texts` are those that `rules` rewrite; name rules too")

    @property
    def told(self) -> tuple[str, ...]:
        """What a reader of figures must know of twins: what the table brings, and whether history is rewritten. What
        rules do a note of the data says."""
        through = (
            (f"twins of {self.attribute}: earlier choices of the person are rewritten too (through history)",)
            if self.rewrites_history
            else ()
        )
        if not self.features or self.rules is not None:
            return through
        listed = ", ".join(self.features[:10]) + (", ..." if len(self.features) > 10 else "")
        return (f"twins of {self.attribute}: the table says what {listed} would be ({self.origin})", *through)

    @property
    def may_lack(self) -> bool:
        """Whether some choices have no such twin, by design or since nothing says what it would be."""
        return bool(self.only) or self.missing == "exclude"

    @property
    def rewrites_history(self) -> bool:
        """Whether earlier choices of the person are set to the level too."""
        return self.history == REWRITTEN

    def column(self, name: str, level: str) -> str:
        """What holds the values of a feature, or the index of an array, at a level: "emb:gender=female"."""
        return f"{name}:{self.attribute}={level}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """A feature whose values are rows of an array `[N, ...]` in a `.npy` or `.safetensors` file.

    name: of the feature; file: where the array is, from the table's folder; key: the tensor's name in a `.safetensors`
    file (default: `name`); index: column of whole numbers 0 to N-1 that says which row, of each side in a wide table
    (default: row i of the table, in a wide one rows 2i and 2i+1); context: whether it is the chooser's or prompt's and
    not an alternative's.

    An array `[N, d]` becomes d columns beside the other features. scaling: "joint" takes off the mean vector of the
    train rows and divides by one number, their spread over all d, which keeps angles and ratios of distances; "each"
    standardises every column; "none" leaves the values as they are. raw: the array keeps its shape and dtype (at most
    32 bits) and is handed out under its name, beside the coded features, to models that read it (tokens, masks).
    """

    name: str
    file: str = ""
    key: str = ""
    index: str = ""
    context: bool = False
    raw: bool = False
    scaling: str = "joint"

    def __post_init__(self):
        for field in ("name", "index"):
            object.__setattr__(self, field, one_text(getattr(self, field), "arrays"))
        if not self.name or self.name == FEATURES:
            raise UsageError(f"array {self.name!r}: expected another name ({FEATURES!r} is that of the coded features)")
        choose(f"the scaling of array {self.name!r}", self.scaling, SCALINGS)
        if self.raw and self.scaling != SCALINGS[0]:
            raise UsageError(f"array {self.name!r}: raw values are not scaled; leave out scaling, or raw")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SummarySpec:
    """Of what a text is a summary: of some choices that the person made earlier, and that the table has not.

    by: name of the summariser; k: how many choices, at most; order: the column that said which came first, "" = by a
    hash of names; sha256: of the summaries of all people of the table, which it says itself
    """

    by: str
    k: int
    order: str = ""
    sha256: str = ""

    def __post_init__(self):
        for field in ("by", "order"):
            object.__setattr__(self, field, one_text(getattr(self, field), "summary"))
        if not self.by or self.k < 1:
            raise UsageError(f"summary: expected `by`, the summariser's name, and k >= 1; got {self.by!r} and {self.k}")

    def __str__(self) -> str:
        how = f"the earliest by {self.order}" if self.order else "by a hash of names"
        return f"by {self.by} at {self.sha256[:12]}, of {self.k} earlier choices of the person, {how}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSpec:
    """A feature whose values are vectors of texts, by an encoder (`faro.text`).

    name: of the feature; column: of the texts (default: the name; in a wide table each side has its own,
    `chosen_NAME`); after: column of a text that is read before it, as one with it (a prompt); times: column of a text
    whose vector its own is multiplied by, number by number (a prompt: of itself it is no difference between answers);
    context: whether it is the chooser's or prompt's and not an alternative's; encoder: a name (`faro encoder list`) or
    a folder; limit: tokens at most (0: the encoder's own); dtype: of the vectors on disk, "float32" or "float16";
    scaling: as of arrays; without: "length" takes off every number what a line in the text's tokens and their logarithm
    explains of it on train; layers: 0, or how many of the encoder's last layers a model of its own has: the feature is
    then, of every token, the vector before those, a raw array; digest: of the encoder that read the texts of a
    `Dataset` or of a model; another one is refused; summary: of what the text is a summary, or what it is
    multiplied by or read after (`SummarySpec`).
    """

    name: str
    column: str = ""
    after: str = ""
    times: str = ""
    context: bool = False
    encoder: str = "minilm"
    limit: int = 0
    dtype: str = "float32"
    scaling: str = "joint"
    without: str = ""
    layers: int = 0
    digest: str = ""
    summary: SummarySpec | None = None

    def __post_init__(self):
        if self.summary is not None and not (self.context or self.times or self.after):
            raise UsageError(
                f"text {self.name!r}: a summary is of the person who chooses: a text of the context, or what another "
                "is read `after` or multiplied by (`times`)"
            )
        for field in ("name", "column", "after", "times"):
            object.__setattr__(self, field, one_text(getattr(self, field), "texts"))
        if not self.name or self.name == FEATURES:
            raise UsageError(f"text {self.name!r}: expected another name ({FEATURES!r} is that of the coded features)")
        choose(f"the scaling of text {self.name!r}", self.scaling, SCALINGS)
        if self.without not in ("", "length"):
            raise UsageError(f"text {self.name!r}: without is 'length', or left out; got {self.without!r}")
        choose(f"the dtype of text {self.name!r}", self.dtype, ("float32", "float16"))
        if self.limit < 0:
            raise UsageError(f"text {self.name!r}: expected a limit of tokens above 0, or 0, got {self.limit}")
        if self.layers < 0:
            raise UsageError(f"text {self.name!r}: expected a number of last layers, or 0, got {self.layers}")
        if self.layers and (self.times or self.without):
            raise UsageError(f"text {self.name!r}: layers are of a text itself; leave out times and without")

    @property
    def of_person(self) -> str:
        """The field that names the column of the summary: `column` of the context, else `times`, else `after`."""
        return "column" if self.context else "times" if self.times else "after"

    @property
    def beside(self) -> tuple[str, ...]:
        """The columns of texts that go into it besides its own."""
        return tuple(filter(None, (self.after, self.times)))


def one_text(value: str, where: str) -> str:
    """A text as cells are read; `UsageError` for one that no cell can be."""
    try:
        return plain_text(value)
    except ValueError as error:
        raise UsageError(f"{where}: expected {error}") from None


def apart(name: str, given: tuple[str, ...], levels: tuple[str, ...]) -> None:
    """`UsageError` if two levels meet in one form."""
    first: dict[str, str] = {}
    for word, level in zip(given, levels, strict=True):
        if level in first:
            two = f"{first[level]!r} and {word!r} are one, {level!r}"
            raise UsageError(f"attribute {name!r}: expected two or more different levels, but {two}")
        first[level] = word


def choose(field: str, value: str, known: tuple[str, ...]) -> None:
    """`UsageError` unless a value is among those known."""
    if value not in known:
        raise UsageError(f"schema: {field} is one of {', '.join(known)}; got {value!r}")
