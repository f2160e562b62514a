"""The files of a Lance table: written by one process and committed by another, merged, deleted.

A fragment is a file in the table's ``data`` folder. Until a commit names it no reader knows of it, and a
commit takes any number at once. LanceDB has no call for this, and none that merges some of the files and not all:
``pylance``, the same format's own package, does it; it is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from indexer.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

#: Of what is read at once while files are merged.
_ROWS_AT_ONCE = 1_024

Fragment = Any
"""``lance.FragmentMetadata``; crosses processes."""


def write(rows: pa.Table, table: str, options: Mapping[str, str]) -> list[Fragment]:
    """Write ``rows`` as fragments of the table at the address ``table``, in the format that it has."""
    lance = _lance()
    version = lance.dataset(table, storage_options=dict(options)).data_storage_version
    fragments: list[Fragment] = lance.fragment.write_fragments(
        rows, table, mode="append", data_storage_version=version, storage_options=dict(options)
    )
    return fragments


def append(fragments: Sequence[Fragment], table: str, options: Mapping[str, str]) -> None:
    """Make written ``fragments`` part of the table, in one commit (under the write lock)."""
    lance = _lance()
    dataset = lance.dataset(table, storage_options=dict(options))
    operation = lance.LanceOperation.Append(list(fragments))
    lance.LanceDataset.commit(table, operation, read_version=dataset.version, storage_options=dict(options))


def merge(table: str, options: Mapping[str, str], rows: int, is_copy: bool = False) -> None:
    """Merge neighbouring files with fewer than ``rows`` rows up to about that (under the write lock).

    Args:
        table, options: its address and how to reach it.
        rows: files that have as many stay as they are, unless more than a tenth of their rows are deleted.
        is_copy: copy pages as they are, where they can be: a third of the time and the memory. Small pages stay
            small.
    """
    _lance().dataset(table, storage_options=dict(options)).optimize.compact_files(
        target_rows_per_fragment=rows,
        num_threads=1,
        batch_size=_ROWS_AT_ONCE,
        compaction_mode="try_binary_copy" if is_copy else "reencode",
    )


def forget_old_versions(table: str, options: Mapping[str, str], older_than: timedelta) -> None:
    """Delete files that only versions older than this name (under the write lock)."""
    _lance().dataset(table, storage_options=dict(options)).cleanup_old_versions(older_than=older_than)


def _lance() -> Any:
    try:
        import lance
        import lance.fragment
    except ImportError:
        raise InputError("this needs a package that is not installed", "Run: pip install pylance") from None
    return lance
