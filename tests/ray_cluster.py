"""A real Ray cluster of two nodes on loopback: two raylets, as two machines have them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from tests.fakes import ColourEncoder

#: No telemetry, no dashboard; on loopback, which Ray otherwise avoids on Linux.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_DISABLE_METRICS_COLLECTION": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).parent.parent),
}
_NODE = {"num_cpus": 1, "object_store_memory": 100 * 1024 * 1024}


class SlowEncoder(ColourEncoder):
    """Takes its time, and leaves a file named by its node in ``marks`` once it is at work."""

    def __init__(self, marks: Path) -> None:
        super().__init__()
        self._marks = marks

    def encode_pictures(self, pictures: np.ndarray) -> np.ndarray:
        import ray

        (self._marks / ray.get_runtime_context().get_node_id()).touch()
        time.sleep(0.4)
        return super().encode_pictures(pictures)


def load_slow(marks: Path, name: str, device: str) -> ColourEncoder:
    """With ``marks`` bound, in place of ``vclipper.models.load_encoder``: slow on a worker only."""
    import ray

    return SlowEncoder(marks) if ray.is_initialized() and _is_worker(ray) else ColourEncoder()


def _is_worker(ray) -> bool:
    return ray.get_runtime_context().get_actor_id() is not None


class TwoNodes:
    """Starts them; :meth:`kill_second` ends one as a power cut does."""

    def __init__(self) -> None:
        os.environ.update(ENVIRONMENT)
        from ray.cluster_utils import Cluster

        self._cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "include_dashboard": False})
        self._second = self._cluster.add_node(**_NODE)
        self.address = str(self._cluster.address)

    def kill_second(self) -> None:
        self._cluster.remove_node(self._second, allow_graceful=False)

    def stop(self) -> None:
        self._cluster.shutdown()
