"""The encoder of Devlin et al. (2019) and its relatives once more, in numpy, a text at a time and without padding; and
folders of such encoders with random weights, by the names that files ship with."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import safetensors.numpy

WORDS = ("the", "cat", "sat", "on", "a", "mat", "dog", "ran", "un", "##happy", "##ly", "tree", ".", "?", "ask", "tell")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
erf = np.vectorize(math.erf)


def config(family: str, width: int = 12, layers: int = 2, heads: int = 3, hidden: int = 20) -> dict:
    """A config.json as the family writes it."""
    vocabulary = len(SPECIAL) + len(WORDS)
    if family == "distilbert":
        sizes = {"dim": width, "n_layers": layers, "n_heads": heads, "hidden_dim": hidden, "activation": "gelu"}
    else:
        sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        sizes |= {"intermediate_size": hidden, "hidden_act": "gelu", "layer_norm_eps": 1e-6}
        sizes["type_vocab_size"] = 1 if family == "roberta" else 2
    pad = {"pad_token_id": 1} if family == "roberta" else {}
    return {"model_type": family, "vocab_size": vocabulary, "max_position_embeddings": 40, **sizes, **pad}


def tensors(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of every tensor that the family has."""
    rng, family = np.random.default_rng(seed), config["model_type"]
    small = family == "distilbert"
    width = config["dim" if small else "hidden_size"]
    hidden = config["hidden_dim" if small else "intermediate_size"]
    shapes = {"word_embeddings": config["vocab_size"], "position_embeddings": config["max_position_embeddings"]}
    if not small:
        shapes["token_type_embeddings"] = config["type_vocab_size"]
    made = {f"{family}.embeddings.{name}.weight": rng.normal(size=(rows, width)) for name, rows in shapes.items()}

    def dense(name: str, out: int, into: int) -> None:
        made[f"{family}.{name}.weight"] = rng.normal(size=(out, into)) / np.sqrt(into)
        made[f"{family}.{name}.bias"] = rng.normal(size=out) * 0.1

    def norm(name: str) -> None:
        made[f"{family}.{name}.weight"] = 1 + rng.normal(size=width) * 0.1
        made[f"{family}.{name}.bias"] = rng.normal(size=width) * 0.1

    norm("embeddings.LayerNorm")
    for layer in range(config["n_layers" if small else "num_hidden_layers"]):
        at = f"transformer.layer.{layer}" if small else f"encoder.layer.{layer}"
        attention = (
            ("q_lin", "k_lin", "v_lin", "out_lin")
            if small
            else ("self.query", "self.key", "self.value", "output.dense")
        )
        for name in attention:
            dense(f"{at}.attention.{name}", width, width)
        inner, outer = ("ffn.lin1", "ffn.lin2") if small else ("intermediate.dense", "output.dense")
        dense(f"{at}.{inner}", hidden, width)
        dense(f"{at}.{outer}", width, hidden)
        norm(f"{at}.sa_layer_norm" if small else f"{at}.attention.output.LayerNorm")
        norm(f"{at}.output_layer_norm" if small else f"{at}.output.LayerNorm")
    return {name: array.astype(np.float32) for name, array in made.items()}


def forward(config: dict, tensors: dict[str, np.ndarray], ids: list[int], types: list[int] | None = None) -> np.ndarray:
    """Vectors of the last layer, `[T, width]` in float64, of the tokens of one text."""
    family = config["model_type"]
    small = family == "distilbert"
    own = {name.removeprefix(f"{family}."): array.astype(np.float64) for name, array in tensors.items()}
    epsilon = config.get("layer_norm_eps", 1e-12)

    def dense(x: np.ndarray, name: str) -> np.ndarray:
        return x @ own[f"{name}.weight"].T + own[f"{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        return (
            centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * own[f"{name}.weight"]
            + own[f"{name}.bias"]
        )

    first = config["pad_token_id"] + 1 if family == "roberta" else 0
    x = own["embeddings.word_embeddings.weight"][ids]
    x = x + own["embeddings.position_embeddings.weight"][first : first + len(ids)]
    if not small:
        kinds = [0] * len(ids) if types is None or family == "roberta" else types
        x = x + own["embeddings.token_type_embeddings.weight"][kinds]
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(config["n_layers" if small else "num_hidden_layers"]):
        at = f"transformer.layer.{layer}" if small else f"encoder.layer.{layer}"
        names = (
            ("q_lin", "k_lin", "v_lin", "out_lin")
            if small
            else ("self.query", "self.key", "self.value", "output.dense")
        )
        query, key, value = (dense(x, f"{at}.attention.{name}") for name in names[:3])
        seen = []
        for head in np.split(np.arange(x.shape[1]), config["n_heads" if small else "num_attention_heads"]):
            scores = query[:, head] @ key[:, head].T / np.sqrt(len(head))
            weight = np.exp(scores - scores.max(-1, keepdims=True))
            seen.append(weight / weight.sum(-1, keepdims=True) @ value[:, head])
        mixed = dense(np.concatenate(seen, -1), f"{at}.attention.{names[3]}")
        x = norm(x + mixed, f"{at}.sa_layer_norm" if small else f"{at}.attention.output.LayerNorm")
        inner, outer = ("ffn.lin1", "ffn.lin2") if small else ("intermediate.dense", "output.dense")
        wide = dense(x, f"{at}.{inner}")
        wide = wide * (1 + erf(wide / math.sqrt(2))) / 2
        x = norm(x + dense(wide, f"{at}.{outer}"), f"{at}.output_layer_norm" if small else f"{at}.output.LayerNorm")
    return x


def write(
    folder: Path, family: str = "bert", pooling: str = "mean", normalised: bool = True, seed: int = 0, **sizes: int
) -> Path:
    """A folder with an encoder of random weights, whose tokenizer asks for padding and truncation that nobody wants."""
    import tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    own = config(family, **sizes)
    (folder / "config.json").write_text(json.dumps(own))
    safetensors.numpy.save_file(tensors(own, seed), folder / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=30)
    tokenizer.enable_truncation(5)
    tokenizer.save(str(folder / "tokenizer.json"))
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalised else [])]
    paths = {"Pooling": "1_Pooling"}
    listed = [{"type": f"sentence_transformers.models.{name}", "path": paths.get(name, "")} for name in modules]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{name}": name.startswith(pooling) for name in ("cls_token", "mean_tokens", "lasttoken")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 12, **modes}))
    return folder
