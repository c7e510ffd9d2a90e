"""Folders of vectors as another program writes them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def eye(rows=2, dtype="float32"):
    return np.eye(2, dtype=dtype)[np.arange(rows) % 2]


def write_npy(folder, m, vectors, ids, labels, end="\n"):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{m}.npy", np.asarray(vectors))
    for ending, lines in (("ids", ids), ("labels", labels)):
        if lines is not None:
            (folder / f"{m}.{ending}.txt").write_text("".join(f"{line or ''}\n" for line in lines), newline=end)


def write_parquet(folder, m, vectors, ids, labels, kind=None):
    folder.mkdir(exist_ok=True)
    given = {"id": ids, "label": labels}
    table = {name: pa.array(cells, pa.string()) for name, cells in given.items() if cells is not None}
    table["vector"] = pa.array(np.asarray(vectors).tolist(), kind or pa.list_(pa.float32()))
    pq.write_table(pa.table(table), folder / f"{m}.parquet")
