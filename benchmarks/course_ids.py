"""Token ids, labels and split of IMDB as our course recipes see them, as one .npz for the peers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from recurra.batches.splits import split
from recurra.config import Config, load_recipe
from recurra.text.tokenizer import TextTokenizer


def main(folder: Path, out: Path) -> None:
    config = Config.build(load_recipe("lstm"))
    tables = {part: pq.read_table(folder / f"{part}.parquet") for part in ("train", "test")}
    texts = {part: table["text"].to_pylist() for part, table in tables.items()}
    labels = {
        part: (np.array(table["label"].to_pylist()) == "pos").astype(np.int64)
        for part, table in tables.items()
    }
    _, groups = np.unique(np.array(tables["train"]["movie"].to_pylist()), return_inverse=True)
    train_rows, valid_rows = split(labels["train"], 0.1, 1, groups)
    tokenizer = TextTokenizer.train((texts["train"][row] for row in train_rows), config.tokenizer)
    data = {"train_rows": train_rows, "valid_rows": valid_rows}
    for part, found in texts.items():
        ids = tokenizer.encode(found).ids
        data[f"{part}_ids"] = np.concatenate(ids)
        data[f"{part}_offsets"] = np.cumsum([0, *map(len, ids)])
        data[f"{part}_labels"] = labels[part]
    np.savez(out, **data)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
