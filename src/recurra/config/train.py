"""Settings of training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recurra.config.section import Section

__all__ = ["TrainConfig"]


class TrainConfig(Section):
    """Training: optimizer, schedule, stopping, checkpoints."""

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = Field("adam", description="the step rule")
    learning_rate: Annotated[float, Field(gt=0, le=100)] = Field(0.001, description="its step size")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="how the learning rate falls towards the last epoch"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps in which the rate rises from 0")
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="pull towards 0; decoupled in adamw"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of sgd")
    embedding_rows: Literal["auto", "all", "touched"] = Field(
        "auto",
        description="rows of the embedding that a step moves; touched: those of the batch's words alone, so "
        "that neither momentum nor decay moves others; auto: touched if the table has 5,000,000 numbers",
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="gradients are scaled down to this norm; null for none"
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(64, description="texts a step")
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10, description="passes over the training rows, at most"
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        3, description="epochs without improvement of the monitor before training stops"
    )
    monitor: Literal["loss", "accuracy", "macro_f1", "auc"] = Field(
        "loss", description="the figure on the validation part that stops training"
    )
    class_weight: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none", description="weights in the loss: none, balanced, or by class name"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="of weights, masks and the order of batches"
    )
    device: str = Field(
        "cpu", description="cpu, cuda, or auto for a GPU where there is one (so far run on the CPU alone)"
    )
    pretrained: str | None = Field(
        None,
        description="a model's directory or a file of word vectors (word2vec, GloVe, fastText) that the "
        "embedding begins from; its width is model.embedding",
    )
    pretrained_layers: bool = Field(
        False, description="begin from the pretrained model's recurrent layers too, as many as fit"
    )
    freeze: bool = Field(False, description="what was pretrained stays as it is")
    unfreeze_after: Annotated[int, Field(ge=1)] | None = Field(
        None, description="what was pretrained stays as it is for so many epochs, then is trained too"
    )
    layerwise_lr: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="each layer's learning rate as a share of that of the layer above; null for one rate",
    )
    checkpoint_minutes: Annotated[float, Field(gt=0)] = Field(
        10.0, description="a checkpoint at least this often, besides one each epoch"
    )
    tensorboard: bool = Field(False, description="write TensorBoard logs beside the model")
