"""The section of settings of a training, each setting with its default, range and meaning."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from recurra.config.sections import Section


def _weights(value: Any) -> Any:
    """Returns weights by the names of classes; YAML and Python may have numbers and truth values as names.

    Raises:
        ValueError: a weight is not a number above 0, or there are no weights.
    """
    if value in ("none", "balanced"):
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError("it should be none, balanced, or a mapping of classes to weights")
    for name, weight in value.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 < weight < math.inf:
            raise ValueError(f"the weight of {str(name)!r} is {weight!r}; give more than 0")
    return {str(name): weight for name, weight in value.items()}


class TrainConfig(Section):
    """Training: optimizer, learning rate schedule, early stopping, transfer, checkpoints."""

    optimizer: Literal[
        "adam", "adamw", "rmsprop", "sgd", "adadelta", "adagrad", "adamax", "asgd", "nadam",
        "radam", "rprop",
    ] = Field(
        "adam",
        description="the optimizer; adam, adamw and rmsprop have Keras's constants, the others torch's",
    )  # fmt: skip
    learning_rate: Annotated[float, Field(gt=0, le=100)] = Field(0.001, description="the learning rate")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="how the learning rate decreases until the last epoch"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        0, description="number of steps in which the learning rate increases from 0"
    )
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="weight decay: decoupled for adamw, L2 regularisation for the others"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="momentum of sgd")
    embedding_rows: Literal["auto", "all", "touched"] = Field(
        "auto",
        description="embedding rows that a step updates; touched: only those of tokens in the batch, so that "
        "momentum and weight decay do not act on others; auto: touched from 5,000,000 weights on",
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="maximum global norm of the gradients; null: no clipping"
    )
    adversarial: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0,
        description="size of a perturbation of the word vectors in the direction of the steepest increase of "
        "the loss, as a share of the vectors' size; each step trains on the plain and on the perturbed ones, "
        "which takes twice the time; 0: plain ones only",
    )
    average: Annotated[float, Field(ge=0, le=1_000)] = Field(
        0.0,
        description="number of epochs over which the weights are averaged, the latest counting most; the "
        "average is validated and kept; 0: no average",
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(64, description="number of texts per step")
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10, description="maximum number of passes over the training rows"
    )
    steps_per_epoch: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="number of steps of an epoch, if fewer than all rows make: of classifiers, taggers and "
        "forecasters each epoch then has other rows, drawn at random; null: all rows",
    )
    minutes: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        None,
        description="minutes that a whole fit may take, from reading to the report: the epochs, up to the "
        "number given, and if they are few the steps_per_epoch are chosen from the speed of trial batches; "
        "null: no limit",
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        3, description="epochs without improvement of the monitored metric before training stops"
    )
    monitor: Annotated[
        str,
        Field(pattern=r"^(loss|accuracy|balanced_accuracy|macro_f1|micro_f1|auc|(f1|precision|recall):.+)$"),
    ] = Field(
        "loss",
        description="validation metric that chooses the best epoch and stops training: loss, accuracy, "
        "macro_f1, micro_f1, auc; of classifiers also balanced_accuracy, f1:, precision: or recall:CLASS",
    )
    class_weight: Annotated[Literal["none", "balanced"] | dict[str, float], BeforeValidator(_weights)] = (
        Field("none", description="class weights in the loss: none, balanced, or a mapping by class name")
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="seed of the initial weights, the dropout masks and the order of batches"
    )
    device: str = Field(
        "cpu",
        description="cpu, cuda, or auto: a GPU if there is one. Nothing was run on a GPU so far: the tests "
        "for one (tests/gpu) have run on the CPU, and on a device that is pretended there "
        "(docs/guide/gpu.md)",
    )
    pretrained: str | None = Field(
        None,
        description="model directory or file of word vectors (word2vec, GloVe, fastText) to initialize the "
        "embedding from; model.embedding is then the size of the vectors",
    )
    pretrained_layers: bool = Field(
        False, description="initialize the recurrent layers from the pretrained model too, as many as match"
    )
    freeze: bool = Field(False, description="do not train the pretrained weights")
    unfreeze_after: Annotated[int, Field(ge=1)] | None = Field(
        None, description="number of epochs in which the pretrained weights are frozen; then they are trained"
    )
    layerwise_lr: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="factor between the learning rates of a layer and the layer above; null: the same rate",
    )
    checkpoint_minutes: Annotated[float, Field(gt=0)] = Field(
        10.0, description="minutes between checkpoints within an epoch; there is also one after each epoch"
    )
    tensorboard: bool = Field(
        False, description="write TensorBoard logs to training/tensorboard in the model directory"
    )
    trackers: list[Literal["mlflow", "wandb"]] = Field(
        [],
        description="experiment trackers that get the settings and the figures of each epoch (extras mlflow, "
        "wandb); their own environment variables say where",
    )
