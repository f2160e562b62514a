"""Frames that one process writes and another commits: fragments of a Lance table.

A fragment is a file in the table's ``data`` folder. Until a commit names it no reader knows of it, and a
commit takes any number at once. LanceDB has no call for this, so ``pylance``, the same format's own package,
does it; it is imported on first use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from indexer.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

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


def _lance() -> Any:
    try:
        import lance
        import lance.fragment
    except ImportError:
        raise InputError(
            "this needs a package that is not installed", "Run: pip install 'vclipper[ray]'"
        ) from None
    return lance
