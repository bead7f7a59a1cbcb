"""What an index run is asked for: what cannot work is refused before anything is read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec

from tasks.dataset.readers import bounds_of, open_reader
from tasks.encode.model.describe import describe_model
from tasks.errors import UsageError
from tasks.index.limit import limit_of
from tasks.names import check_name
from tasks.records import ModelInfo
from tasks.settings import ReindexChoices, Settings
from tasks.sparse.options import sparse_options
from tasks.store.stores import check_address
from tasks.work.folder import Folder


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: the model, and whether pictures of the data set may have `addresses`."""

    model: ModelInfo
    addresses: bool


def check_request(dataset: str, settings: Settings) -> Request:
    """Refuse at once what cannot work: data set, names, store's address, work folder, model,
    device.

    Raises `UsageError` (a child) or `WorkFolderError`.
    """
    reader = open_reader(dataset, bounds_of(settings))
    check_name(settings.collection)
    check_name(settings.partition, "partition")
    check_address(settings.store_uri)
    Folder(settings.work_url).check_writable()
    sparse_options(settings)
    check_runner(settings.runner)
    limit_of(settings, time.time())
    # auto and cpu are always there, and torch is slow to load; Ray's nodes have their own devices
    if settings.runner == "threads" and settings.device not in ("auto", "cpu"):
        from tasks.encode.model.device import choose_devices

        choose_devices(settings.device)
    return Request(describe_model(settings.model_name), reader.fields.addresses)


def check_runner(runner: str) -> None:
    """Raise `UsageError` if the extra that a runner needs is not installed."""
    if runner == "ray" and not (find_spec("ray") and find_spec("prefect_ray")):
        raise UsageError("--runner ray needs the extra [ray]: pip install 'muge-search[ray]'")


def check_gate(choices: ReindexChoices, max_drop: object = None) -> None:
    """Raise `UsageError` if a comparison is asked for where no second collection is built."""
    asked = {"--gate-queries": choices.gate_queries or None, "--max-drop": max_drop}
    for option, value in asked.items():
        if choices.strategy == "in-place" and value is not None:
            raise UsageError(
                f"{option} {value} belongs to --strategy blue-green: in place there is no second "
                f"collection to compare with; add that option, or leave {option} out"
            )
