"""A model on the data that it is trained on: it is told what these are, and they are read as it reads them."""

from __future__ import annotations

from typing import Any

from ..data import Sharded
from ..errors import UsageError
from ..models import Model


def suited(model: Model, data: Any) -> tuple[Model, Any]:
    """(the model of these data, the data as it reads them): one that has the last layers of an encoder is given what
    comes before those.

    model: that is to be trained
    data: on which

    `UsageError` where the model cannot read such data.
    """
    if model.own_layers:
        if isinstance(data, Sharded):
            raise UsageError(f"{data.name}: a model with layers of an encoder reads one table; join its files")
        data = data.before_layers(model.own_layers)
    return model.of_schema(data.schema), data
