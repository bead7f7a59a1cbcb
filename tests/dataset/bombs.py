"""Small Parquet files that ask for much memory, honest about it and not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1 << 20


def dictionary_bomb(file: Path, megabytes: int, rows: int, nested: bool = False) -> Path:
    """A dictionary of one large value that every row names."""
    value = pa.array([bytes(megabytes * MIB)], pa.binary())
    pieces: list[pa.Array] = [value] * rows
    if nested:
        paths = pa.nulls(1, pa.string())
        pieces = [pa.StructArray.from_arrays([value, paths], ["bytes", "path"])] * rows
    table = pa.table({"image_id": list(range(rows)), "image": pa.chunked_array(pieces)})
    pq.write_table(table, file, compression="zstd", dictionary_pagesize_limit=1 << 30)
    return file


def page_bomb(file: Path, megabytes: int) -> Path:
    """One page that unpacks to much more than it is."""
    value = pa.array([bytes(megabytes * MIB)], pa.binary())
    table = pa.table({"image_id": [1], "image": value})
    pq.write_table(table, file, compression="zstd", use_dictionary=False)
    return file


def understated(file: Path) -> Path:
    """The same file, whose metadata says that its columns unpack to much less."""
    content = bytearray(file.read_bytes())
    metadata = pq.ParquetFile(file).metadata
    for group in range(metadata.num_row_groups):
        for column in range(metadata.num_columns):
            said = _number(metadata.row_group(group).column(column).total_uncompressed_size * 2)
            begin = content.rindex(said)
            content[begin : begin + len(said)] = _number(1 << 7 * (len(said) - 1))
    file.write_bytes(content)
    return file


def _number(value: int) -> bytes:
    """As Thrift's compact form writes it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
