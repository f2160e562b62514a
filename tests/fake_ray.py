"""Ray's calls in one process, with nodes that can be told to die: what a driver sees of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ray.exceptions import ActorDiedError, RayTaskError


class Reference:
    """An answer that is computed when it is asked for."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer

    def get(self) -> Any:
        try:
            return self._answer()
        except ActorDiedError:
            raise
        except Exception as error:
            raise RayTaskError("f", "", error) from error


class Stream:
    """A generator of an actor."""

    def __init__(self, events: Any, node: FakeNode) -> None:
        self._events, self._node = events, node

    def __next__(self) -> Reference:
        self._node.step()
        try:
            event = next(self._events)
        except StopIteration:
            raise
        except Exception as error:  # Ray hands it out as the last answer
            return Reference(lambda error=error: (_ for _ in ()).throw(error))
        return Reference(lambda: event)


class FakeNode:
    """A node.

    Args:
        name: its host name.
        steps: events that it lives for; None: for ever.
        comes_back: whether new workers may start there after it died.
        watch: called with each worker that is made there.
    """

    def __init__(
        self,
        name: str,
        steps: int | None = None,
        comes_back: bool = False,
        watch: Callable[[Any], None] = lambda worker: None,
        cpus: int = 2,
    ) -> None:
        self.name, self.steps, self.comes_back, self.watch = name, steps, comes_back, watch
        self.alive, self.cpus, self.started = True, cpus, 0
        self.id = name.encode().hex().ljust(56, "0")

    def step(self) -> None:
        if self.steps is not None:
            if self.steps == 0:
                self.alive = self.comes_back
                self.steps = None if self.comes_back else 0
                raise ActorDiedError
            self.steps -= 1

    def described(self) -> dict[str, Any]:
        return {
            "NodeID": self.id,
            "Alive": self.alive,
            "NodeManagerHostname": self.name,
            "Resources": {"CPU": float(self.cpus)},
        }


class _Method:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call

    def options(self, **_: Any) -> _Method:
        return self


class _Actor:
    def __init__(self, worker: Any, node: FakeNode) -> None:
        self.prepare = _Method(lambda: Reference(worker.prepare))
        self.index = _Method(lambda jobs: Stream(worker.index(jobs), node))


class FakeRay:
    """In place of the module ``ray``."""

    def __init__(self, *nodes: FakeNode) -> None:
        self._nodes = {node.id: node for node in nodes}
        self.killed = 0

    def nodes(self) -> list[dict[str, Any]]:
        return [node.described() for node in self._nodes.values()]

    def put(self, value: Any) -> Any:
        return value

    def get(self, reference: Reference) -> Any:
        return reference.get()

    def wait(
        self, references: Sequence[Any], num_returns: int = 1, timeout: float = 0
    ) -> tuple[list[Any], list[Any]]:
        return list(references), []

    def kill(self, actor: _Actor) -> None:
        self.killed += 1

    def remote(self, kind: type) -> Any:
        ray = self

        class Class:
            def options(self, scheduling_strategy: Any, **_: Any) -> Any:
                node = ray._nodes[scheduling_strategy.node_id]

                def make(*arguments: Any) -> _Actor:
                    worker = kind(*arguments)
                    node.started += 1
                    node.watch(worker)
                    return _Actor(worker, node)

                return _Method(make)

        return Class()
