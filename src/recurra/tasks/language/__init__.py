"""Language models: predict the next token of a text."""

from recurra.tasks.base import TEXT_FILE, TaskInfo

INFO = TaskInfo(
    name="lm",
    title="predict the next word (lm)",
    package=__name__,
    config="LanguageModelConfig",
    estimator="LanguageModel",
    recipe="language-model",
    words=True,
    file_settings=TEXT_FILE,
    pretrain_settings={"model": {"experts": ["recurrent"]}},
    options=frozenset({"next", "generate", "temperature", "top_k", "seed", "tokens"}),
)
