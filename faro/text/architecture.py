"""Sizes of an encoder of the BERT family, as its config.json says them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from faro.errors import DataError

FAMILIES = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu")


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Sizes of an encoder, as config.json says them.

    family: one of FAMILIES; vocabulary: number of tokens; width: of a token's vector; layers, heads: how many; hidden:
    width between the two products of a layer; positions: rows of the table of places; types: kinds of segments (0: the
    family has none); activation: between those products; epsilon: of the normalisation; shift: row of the first place
    """

    family: str
    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    positions: int
    types: int
    activation: str
    epsilon: float
    shift: int

    @classmethod
    def of(cls, config: Mapping[str, Any], where: str) -> Architecture:
        """The sizes in a config.json.

        config: its values
        where: what messages call it

        `DataError` for another family, and for a key that is absent or no number.
        """
        family = config.get("model_type")
        if family not in FAMILIES:
            raise DataError(f"{where}: expected model_type {', '.join(FAMILIES)}, got {family!r}")
        small = family == "distilbert"
        keys = {
            "vocabulary": "vocab_size",
            "width": "dim" if small else "hidden_size",
            "layers": "n_layers" if small else "num_hidden_layers",
            "heads": "n_heads" if small else "num_attention_heads",
            "hidden": "hidden_dim" if small else "intermediate_size",
            "positions": "max_position_embeddings",
        }
        if not small:
            keys["types"] = "type_vocab_size"
        sizes = {}
        for name, key in keys.items():
            size = config.get(key)
            if type(size) is not int or size < 1:
                raise DataError(f"{where}: expected {key} as a whole number above 0, got {size!r}")
            sizes[name] = size
        if sizes["width"] % sizes["heads"]:
            raise DataError(f"{where}: {sizes['heads']} heads do not divide a width of {sizes['width']}")
        kind = config.get("position_embedding_type", "absolute")
        activation = config.get("activation" if small else "hidden_act", "gelu")
        if kind != "absolute" or activation not in ACTIVATIONS:
            known = f"absolute position embeddings and an activation among {', '.join(ACTIVATIONS)}"
            raise DataError(f"{where}: expected {known}, got {kind!r} and {activation!r}")
        try:
            shift = 0 if family in ("bert", "distilbert") else int(config.get("pad_token_id", 1)) + 1
            epsilon = float(config.get("layer_norm_eps", 1e-12))
        except (TypeError, ValueError) as error:
            raise DataError(f"{where}: expected pad_token_id and layer_norm_eps as numbers: {error}") from error
        return cls(
            family,
            types=sizes.pop("types", 0),
            activation=activation,
            epsilon=epsilon,
            shift=shift,
            **sizes,
        )

    @property
    def longest(self) -> int:
        """Tokens that a text may have, as far as places go."""
        return self.positions - self.shift
