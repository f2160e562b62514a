"""A real Ray cluster of two nodes on loopback: two raylets, as two machines have them."""

from __future__ import annotations

import os

#: No telemetry, no dashboard; on loopback, which Ray otherwise avoids on Linux.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_DISABLE_METRICS_COLLECTION": "1",
    "OMP_NUM_THREADS": "1",
}
_NODE = {"num_cpus": 1, "object_store_memory": 100 * 1024 * 1024}


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

    def add_second(self) -> None:
        self._second = self._cluster.add_node(**_NODE)

    def stop(self) -> None:
        self._cluster.shutdown()
