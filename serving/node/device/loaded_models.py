"""The models that a device holds: loaded one at a time, and freed once nothing asks for them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from serving.errors import ModelLoadError
from serving.logs.logger import NodeLogger
from serving.node.device.model_load import load_in_time
from serving.node.device.observer import DeviceObserver
from serving.node.device.served import Runtime

__all__ = ["LoadedModels"]

UNLOAD_LOOK_S = 0.01
_log = logging.getLogger(__name__)


class LoadedModels:
    """Models that `load` made. All but `runtime` is for the event loop."""

    def __init__(
        self,
        load: Callable[[str], Runtime],
        clock: Callable[[], float],
        observer: DeviceObserver,
        node: str = "",
    ) -> None:
        self._load = load
        self._clock = clock
        self._observer = observer
        self._log = NodeLogger(_log, node)
        self._runtimes: dict[str, Runtime] = {}
        self._leaving: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self._stopped = False

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of all that take memory, also of those about to go."""
        return tuple(self._runtimes)

    @property
    def ready(self) -> tuple[str, ...]:
        """Names of those that are loaded and not about to go."""
        return tuple(model for model in self._runtimes if model not in self._leaving)

    def is_ready(self, model: str) -> bool:
        """Whether `model` is loaded and not about to go."""
        return model in self._runtimes and model not in self._leaving

    def runtime(self, model: str) -> Runtime:
        """What runs `model`. Raises `KeyError` if it is not loaded."""
        return self._runtimes[model]

    async def load(self, model: str) -> float | None:
        """Load and warm `model`; returns the seconds it took, None if it was there. Raises what
        its loading raises, and `ModelLoadError` if that takes too long or the node stops."""
        async with self._one_at_a_time:
            while model in self._leaving:  # what is about to go is not there
                await asyncio.sleep(UNLOAD_LOOK_S)
            if model in self._runtimes:
                return None
            started_s = self._clock()
            runtime = await load_in_time(self._load, model, self._log)
            if self._stopped:
                await asyncio.to_thread(runtime.close)
                raise ModelLoadError(f"the node shut down while it loaded model {model}")
            self._runtimes[model] = runtime
            spent_s = self._clock() - started_s
            self._log.info("loaded %s: %.2f s, %d bytes", model, spent_s, runtime.weights_bytes)
            self._observer.on_load(model, spent_s)
            return spent_s

    async def unload(self, model: str, is_held: Callable[[str], bool]) -> float:
        """Free `model` once `is_held` says that no query waits for it any more; returns the seconds
        it took. From the start it is not ready."""
        if model not in self._runtimes:
            return 0.0
        started_s = self._clock()
        self._leaving.add(model)
        while is_held(model):
            await asyncio.sleep(UNLOAD_LOOK_S)
        runtime = self._runtimes.pop(model, None)
        self._leaving.discard(model)
        if runtime is not None:
            await asyncio.to_thread(runtime.close)
        spent_s = self._clock() - started_s
        if runtime is not None:
            self._log.info("unloaded %s: %.2f s, %d bytes", model, spent_s, runtime.weights_bytes)
        self._observer.on_unload(model, spent_s)
        return spent_s

    def stop(self) -> None:
        """Free at once what is still being loaded."""
        self._stopped = True

    def close(self) -> None:
        """Free all."""
        for runtime in self._runtimes.values():
            runtime.close()
        self._runtimes.clear()
