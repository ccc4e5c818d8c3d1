"""The checker as a command: the exit code that a verdict must have, and where its words stand."""

from __future__ import annotations

from faro import verify

CODES = {"CERTIFIED": 0, "REFUTED": 1, "INCONCLUSIVE": 3}


def check(args, capsys):
    """(exit code, text): a verdict on stdout or one line on stderr, never both."""
    code = verify.main(args)
    shown = capsys.readouterr()
    if code in CODES.values():
        assert CODES[shown.out.strip().splitlines()[-1]] == code
        assert not shown.err
    else:
        assert not shown.out
        assert shown.err.count("\n") == 1
        assert shown.err.startswith(f"refused ({code}): ")
        assert "Traceback" not in shown.err
    return code, shown.out + shown.err


def codes(cert):
    """The exit code that goes with the verdict of a certificate."""
    return CODES[cert["result"]["verdict"]]
