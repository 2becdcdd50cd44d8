"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recurra.config.section import Section

__all__ = ["TrainConfig"]


class TrainConfig(Section):
    """Training: optimizer, learning rate schedule, early stopping, transfer, checkpoints."""

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = Field("adam", description="the optimizer")
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
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(64, description="number of texts per step")
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10, description="maximum number of passes over the training rows"
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        3, description="epochs without improvement of the monitored metric before training stops"
    )
    monitor: Literal["loss", "accuracy", "macro_f1", "auc"] = Field(
        "loss", description="validation metric that chooses the best epoch and stops training"
    )
    class_weight: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none", description="class weights in the loss: none, balanced, or a mapping by class name"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="seed of the initial weights, the dropout masks and the order of batches"
    )
    device: str = Field(
        "cpu", description="cpu, cuda, or auto: a GPU if there is one (so far tested on the CPU only)"
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
