"""Models of texts that faro exports, opened by sentence-transformers (torch, CPU): the same rewards.

Needs sentence-transformers (extra `bench`). A linear model, an MLP and one with the last layer of the encoder are
trained on invented pairs by the encoder in --encoder (default: minilm, as faro encoder install fetches it), exported by
`faro export --to hf`, and both give the rewards of answers of one to 200 words.

Shown is the largest difference of each, and the spread of its rewards, in which the bar is: 1e-5. Ends with 1 if it is
missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

CLOSE = 1e-5
KINDS = {
    "linear": {},
    "mlp(widths=(16, 8))": {"steps": 200},
    "encoder(layers=1)": {"steps": 30, "every": 10, "batch": 16, "weight_decay": 1e-3},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm", help="a name or a folder")
    parser.add_argument("--models", nargs="+", default=list(KINDS), metavar="NAME")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    from sentence_transformers import SentenceTransformer

    import faro
    from benchmarks.grpo import WORDS, invented
    from faro.store.export import export_hf

    rng, kept = np.random.default_rng(0), True
    answers = [" ".join(rng.choice(WORDS, length)) for length in (*range(1, 30), 60, 100, 200)]
    table = pd.DataFrame({"prompt": "?", "chosen": answers, "rejected": answers[::-1]})
    schema = {
        "format": "wide",
        "unit": "prompt_id",
        "texts": [{"name": "answer", "encoder": options.encoder}],
        "attributes": [
            {"name": "length", "column": "answer_length", "levels": ["shorter", "longer"], "others": "exclude"}
        ],
    }
    for name in options.models:
        with tempfile.TemporaryDirectory() as scratch:
            model = faro.train(
                invented(240), attribute="length", bound=0.6, schema=schema, model=name, settings=KINDS.get(name)
            )
            folder = export_hf(model.save(Path(scratch) / "model"), Path(scratch) / "hf")
            theirs = SentenceTransformer(str(folder), device="cpu").encode(answers, batch_size=8)[:, 0]
            ours = model.rewards(table)[:, 0]
            spread, apart = float(np.std(ours)), float(np.abs(ours - theirs).max())
        print(f"{name}: rewards of {len(answers)} answers differ by at most {apart:.1e} (spread {spread:.2f})")
        kept &= apart <= CLOSE * max(1.0, spread)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
