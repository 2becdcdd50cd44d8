"""Known data sets in memory: labelled texts, tagged sentences, running text and series.

A set is read from a local copy (``folder=``, ``$RECURRA_DATA`` or the cache of the user) or, if its authors'
archive is known, downloaded.
"""

from recurra.datasets.labelled import (
    DataSet,
    Split,
    load_ag_news,
    load_chnsenticorp,
    load_files,
    load_imdb,
    load_sample,
    load_sst2,
    load_zh_shopping,
    pad_sequences,
)
from recurra.datasets.unlabelled import (
    Parts,
    Sentences,
    load_beijing,
    load_etth1,
    load_ptb,
    load_tinyshakespeare,
    load_ud_ewt,
)

__all__ = [
    "DataSet",
    "Parts",
    "Sentences",
    "Split",
    "load_ag_news",
    "load_beijing",
    "load_chnsenticorp",
    "load_etth1",
    "load_files",
    "load_imdb",
    "load_ptb",
    "load_sample",
    "load_sst2",
    "load_tinyshakespeare",
    "load_ud_ewt",
    "load_zh_shopping",
    "pad_sequences",
]
