"""Trains a text classifier on the built-in sample, tests it and explains a prediction."""

from recurra import TextClassifier
from recurra.datasets import load_sample

data = load_sample()
texts, labels = data.train.texts[:1000], data.train.y[:1000]
model = TextClassifier("lstm", units=16, epochs=2, verbose=2).fit(texts, labels)
print({name: round(value, 3) for name, value in model.evaluate(data.test.texts, data.test.y).items()})
for part in model.explain("the film was great").parts:
    print(f"{part.text:>8} {part.contribution:+.2f}")
