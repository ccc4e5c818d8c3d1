"""`python -m benchmarks._stages OUT.json ARGUMENTS`: the command `faro ARGUMENTS`, and where its seconds went.

Wall seconds of the main thread, each counted once: what a stage calls that is a stage of its own is not in it.
Compiling and the import of what draws run on other threads; what is shown of them is the waiting.
"""

import functools
import importlib
import json
import sys
import time

BEGAN = time.perf_counter()
STAGES = {  # name -> functions whose calls it is
    "load": ("faro.api:_dataset",),
    "trace": ("faro.runtime.programs:Program.ahead", "faro.sweep.run:_Run._trainer"),
    "train": ("faro.sweep.batched:Batched.fit",),
    "keep": ("faro.runtime.checkpoint:Keeper.write",),
    "judge": ("faro.evaluate.trials:Evaluator.frontier",),
    "save": ("faro.store.frontier:Frontier.save",),
    "bootstrap": ("faro.evaluate.bootstrap:measure",),
    "report": ("faro.report._page:write_report",),
    "pictures": ("faro.report._shown:write_shown",),
    "terminal": ("faro.cli.terminal:show_frontier",),
}


def main(out: str, arguments: list[str]) -> int:
    spent: dict[str, float] = {}
    inside: list[float] = []  # of every stage that is open, what the stages inside it took

    def timed(name: str, function):
        @functools.wraps(function)
        def call(*args, **named):
            began = time.perf_counter()
            inside.append(0.0)
            try:
                return function(*args, **named)
            finally:
                whole = time.perf_counter() - began
                spent[name] = spent.get(name, 0.0) + whole - inside.pop()
                if inside:
                    inside[-1] += whole

        return call

    import faro.api
    import faro.cli
    import faro.cli.terminal

    spent["import"] = time.perf_counter() - BEGAN
    for name, places in STAGES.items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, last = path.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(module))
            changed = timed(name, getattr(owner, last))
            for other in list(sys.modules.values()) if not owners else [owner]:
                if vars(other).get(last) is getattr(owner, last) and other is not owner:
                    setattr(other, last, changed)
            setattr(owner, last, changed)
    code = faro.cli.main(arguments)
    whole = time.perf_counter() - BEGAN
    spent["rest"] = whole - sum(spent.values())
    with open(out, "w") as file:
        json.dump({"whole": whole, **spent}, file)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
