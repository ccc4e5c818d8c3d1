"""A pytest fixture that checks a certificate of faro: `faro_certificate(certificate, audit, policy)`.

Installed with faro; whoever does not ask for the fixture pays one small import. The check is that of `faro.verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

File = str | Path


@pytest.fixture(scope="session")
def faro_certificate(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that fails the test unless a certificate checks and says CERTIFIED.

        def test_the_released_model(faro_certificate):
            faro_certificate("certificate.json", "audit.csv", "faro.toml", ledger="ledger.jsonl")

    Relative paths begin at pytest's root folder. `tables` is claim name -> file, `models` the files of the model. It
    returns the result of `faro.verify.verify`. Anything but CERTIFIED fails, an error of the checker as well.
    """
    root = request.config.rootpath

    def check(
        certificate: File,
        audit: File | None = None,
        policy: File = "faro.toml",
        *,
        ledger: File | None = None,
        train_units: File | None = None,
        tables: Mapping[str, File] | None = None,
        models: Sequence[File] = (),
    ) -> Any:
        __tracebackhide__ = True
        from .. import verify

        def at(path: File | None) -> Any:
            return None if path is None else str(root / path)

        try:
            result = verify.verify(
                root / certificate,
                at(audit),
                policy=root / policy,
                ledger=at(ledger),
                train_units=at(train_units),
                tables={name: at(path) for name, path in (tables or {}).items()},
                models=[at(path) for path in models],
            )
        except verify.Refused as refused:
            pytest.fail(f"{certificate}: refused ({refused.code}): {refused}", pytrace=False)
        except Exception as error:  # never a pass
            pytest.fail(f"{certificate}: internal error: {type(error).__name__}: {error}", pytrace=False)
        if result.verdict != "CERTIFIED":
            pytest.fail(f"{certificate}: {result.verdict}, expected CERTIFIED\n{verify.report(result)}", pytrace=False)
        return result

    return check
