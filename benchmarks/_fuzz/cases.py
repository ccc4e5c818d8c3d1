"""A fuzzed project in a folder of its own, and the commands that were run on it."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

from benchmarks._fuzz import mutations
from benchmarks._fuzz.commands import DONE, VERDICTS, Ran, run
from benchmarks._fuzz.mutations import Table
from benchmarks._fuzz.projects import Ground


@dataclasses.dataclass
class Case:
    """A fuzzed project in a folder of its own, and the commands that were run on it."""

    ground: Ground
    rng: random.Random
    folder: Path
    ordinal: int  # among the cases of its kind: every mutation has its turn
    ran: list[Ran] = dataclasses.field(default_factory=list)
    about: list[str] = dataclasses.field(default_factory=list)

    def faro(self, *words: str, tool: str = "faro", written: str | None = None) -> Ran:
        """Run a command; words with a dot that name no option are files of the case."""
        found = [str(self.folder / word[1:]) if word.startswith("@") else word for word in words]
        if written is not None:
            found += ["--out", str(self.folder / written)]
        ran = run(self.folder, found, tool, written)
        self.ran.append(ran)
        return ran

    def mutated(self, table: Table, most: int = 2) -> Table:
        """The table after the mutation whose turn it is, and perhaps others."""
        chosen = [mutations.TABLES[self.ordinal % len(mutations.TABLES)]]
        chosen += [self.rng.choice(mutations.TABLES) for _ in range(self.rng.randrange(most))]
        for mutate in chosen:
            if table.columns:
                table = mutate(self.rng, table)
                self.about.append(mutate.__name__)
        return table

    def write(self, name: str, content: bytes) -> None:
        """A file, in every fourth case broken."""
        if self.rng.randrange(4) == 0:
            content = mutations.broken(self.rng, content)
            self.about.append(f"broken {name}")
        (self.folder / name).write_bytes(content)

    def judge(self, table: str, *more: str) -> None:
        """certify, and verify what it wrote; the two must agree."""
        made = self.faro("certify", f"@{table}", "--policy", "@faro.toml", *more, written="made.json")
        if made.code not in DONE or not (self.folder / "made.json").exists():
            if made.code in DONE:
                made.faults.append("no certificate was written")
            return
        checked = self.faro("verify", "@made.json", f"@{self.plain(table)}", "--policy", "@faro.toml", *more)
        if checked.code != made.code and not same_verdict(checked, made):
            checked.faults.append(f"certify ended with {made.code}, verify with {checked.code}")

    def plain(self, table: str) -> str:
        """The table as a CSV file, since the checker reads no Parquet and no gzip."""
        from faro.certify.columns import read_columns, write_columns
        from faro.certify.description import read_description, write_description

        if table.endswith((".csv", ".jsonl")):
            return table
        write_columns(read_columns(self.folder / table), self.folder / "plain.csv")
        if (found := read_description(self.folder / table)) is not None:
            write_description(self.folder / "plain.csv", found)
        return "plain.csv"


def same_verdict(checked: Ran, made: Ran) -> bool:
    """Whether the checker says the same verdict, and that it is of tuning data."""
    same = any(word in checked.err for word, code in VERDICTS.items() if code == made.code)
    return checked.code == 6 and "tuning data" in checked.err and (same or "no attempt" in checked.err)
