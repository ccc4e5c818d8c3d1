"""A faro reward in a trainer of policies: some steps of TRL's GRPO on a random tiny model, which need not get better.

Needs trl (extra `bench`). The reward is a linear model of texts with the rater's politics among its features, trained
here on invented pairs by the encoder in --encoder (default: minilm, as faro encoder install fetches it), saved, and
opened by `faro.reward_fn`. TRL calls it with prompts, completions and the data set's columns.

With --advantage the trainer's advantages are those of faro, by the rater's politics.

Shown are mean and spread of the rewards of every step. Ends with 1 unless all steps were made, every completion had a
finite reward, the rewards are those of `faro score` less their centre, over their scale, and the policy moved.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

WORDS = [
    "yes",
    "no",
    "the",
    "a",
    "cat",
    "dog",
    "tree",
    "sat",
    "ran",
    "should",
    "stay",
    "go",
    "it",
    "they",
    "never",
    "always",
]
CLOSE = 1e-4


def invented(n: int, seed: int = 0) -> pd.DataFrame:
    """Prompts, chosen and rejected answers, and the politics of whoever chose."""
    rng = np.random.default_rng(seed)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS, rng.integers(least, most)))

    records = [
        {"prompt": f"{text(3, 6)} {number // 3}", "chosen": f"good {text(4, 9)}", "rejected": f"bad {text(2, 7)}",
         "politics": ("left", "right")[int(rng.integers(2))]}
        for number in range(n)
    ]  # fmt: skip
    return pd.DataFrame(records)


def trained(folder: Path, encoder: str) -> Path:
    """A saved model of the invented pairs."""
    import faro

    schema: dict[str, Any] = {
        "format": "wide",
        "unit": "prompt_id",
        "context_categorical": ["politics"],
        "texts": [{"name": "answer", "encoder": encoder}],
        "attributes": [
            {"name": "length", "column": "answer_length", "levels": ["shorter", "longer"], "others": "exclude"}
        ],
    }
    model = faro.train(invented(240), attribute="length", bound=0.6, schema=schema)
    print(f"reward model: {model.about['status']}, dev accuracy {model.about['figures']['dev_accuracy']:.2f}")
    return model.save(folder / "reward")


def policy() -> tuple[Any, Any]:
    """A causal model of random weights, and a tokenizer of its words."""
    import tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<pad>", "<end>", "<unk>", "good", "bad", *WORDS]
    own = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: at for at, word in enumerate(words)}, "<unk>"))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    named = dict(zip(("pad_token", "eos_token", "unk_token"), words, strict=False))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=own, padding_side="left", **named)
    ends = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    sizes = {"vocab_size": len(words), "n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(**sizes, **ends)), tokenizer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="minilm", help="a name or a folder")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--advantage", help="in place of TRL's own, as p_grpo or hybrid")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    import faro
    from faro.integrations.advantages import GroupAdvantage, trl_trainer

    with tempfile.TemporaryDirectory() as scratch:
        path = trained(Path(scratch), options.encoder)
        reward, plain = faro.reward_fn(path), faro.reward_fn(path, normalised=False)
        spread = faro.load_model(path).about["rewards"]
        calls: list[np.ndarray] = []
        kept = True

        def faro_reward(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
            nonlocal kept
            given = reward(prompts, completions, **columns)
            again = plain(prompts, completions, **columns)
            numbers = np.array([[one, other] for one, other in zip(given, again, strict=True) if one is not None])
            kept &= len(numbers) > 0 and bool(np.isfinite(numbers).all())
            wanted = (numbers[:, 1] - spread["centre"]) / spread["scale"]
            kept &= bool(np.abs(numbers[:, 0] - wanted).max() < CLOSE)
            calls.append(numbers[:, 0])
            return given

        model, tokenizer = policy()
        before = torch.cat([leaf.detach().flatten().clone() for leaf in model.parameters()])
        asked = invented(16, seed=1)[["prompt", "politics"]]
        settings = GRPOConfig(
            output_dir=scratch, max_steps=options.steps, per_device_train_batch_size=4, num_generations=4,
            max_completion_length=8, learning_rate=1e-2, use_cpu=True, bf16=False, report_to=[], logging_steps=1,
            save_strategy="no", seed=0,
        )  # fmt: skip
        ours = GroupAdvantage(options.advantage, "politics", ("left", "right")) if options.advantage else None
        kind = GRPOTrainer if ours is None else trl_trainer(GRPOTrainer, ours)
        trainer = kind(
            model=model, reward_funcs=faro_reward, args=settings, train_dataset=Dataset.from_pandas(asked),
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.train()
        after = torch.cat([leaf.detach().flatten() for leaf in trainer.model.parameters()])
    for number, rewards in enumerate(calls, 1):
        print(f"call {number}: {len(rewards)} completions, reward {rewards.mean():+.2f} (spread {rewards.std():.2f})")
    if ours is not None:
        kept = kept and sum(ours.remembered().get("seen", {0: 1}).values()) > 0
        print(f"advantages of {ours.advantage.name()}; of every group: {ours.remembered()}")
    moved = float((after - before.to(after.device)).abs().max())
    print(f"{trainer.state.global_step} steps of GRPO; the policy moved by {moved:.1e}")
    return 0 if kept and trainer.state.global_step == options.steps and moved > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
