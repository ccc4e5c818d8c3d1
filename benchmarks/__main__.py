"""`python -m benchmarks` lists the benchmarks; `python -m benchmarks NAME ... [-- ARGUMENTS]` runs them."""

import pkgutil
import runpy
import sys
from pathlib import Path


def names() -> list[str]:
    """Every module of this folder that does not begin with an underscore."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in found if not name.startswith("_"))


def main(arguments: list[str]) -> int:
    known = names()
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, passed = arguments[:split], arguments[split + 1 :]
    if not chosen:
        print("benchmarks:", ", ".join(known) or "none yet")
        print('run one with: make bench ARGS="NAME [-- ARGUMENTS]"')
        return 0
    if unknown := [name for name in chosen if name not in known]:
        print(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(known) or 'none yet'}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"== {name}", flush=True)
        sys.argv = [name, *passed]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
