"""What a node imports, and when: torch with its first model, a null node never, and none scipy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support.paths import ROOT

ALONE = """
import sys
import serving.deploy.replica, serving.ingress.listen
found = [name for name in ("torch", "timm", "scipy", "planner.plan") if name in sys.modules]
assert not found, found
"""

SETUP = """
import asyncio, io, sys
import numpy as np
from PIL import Image
import serving.deploy.replica, serving.ingress.listen
from models.runtime.picture_header import read_header
from serving.deploy.node_configs import node_configs
from cluster.wiring import Wiring
from serving.deploy.node_models import NodeModels
from serving.node.server import NodeServer
from serving.rollout.stages import route_tables
from serving.scale.null_cluster import make_null_cluster

def configs_of(topology, setting, profiles):
    found = node_configs(topology, setting.base_tasks, 27_648, "token", Wiring(), profiles)
    return {config.node.name: config for config in found}

def picture(width, height):
    written = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(written, "PNG")
    return written.getvalue()
"""

NULL = """
for module in ("torch", "torchvision", "timm"):
    sys.modules[module] = None  # an import of it fails
cluster = make_null_cluster(3, "test")
configs = configs_of(cluster.topology, cluster.setting, cluster.setting.profiles)

async def ask(server, config, model):
    # Zeros, and as late as from its device.
    alone = cluster.plans[0].model_copy(
        update={"routes": tuple(r.model_copy(update={"share": 1.0}) for r in
                cluster.plans[0].routes if r.tier == "client")}
    )
    server.route(route_tables(alone, 1, (config.node.name,))[config.node.name])
    served = (await server.answer("depth", cluster.picture)).forwarded.served
    assert served.compute_s >= config.emulated[model].batch_s(1) > 0.05
    assert served.prediction.shape == (96, 96) and not served.prediction.any()

async def serve(name):
    config = configs[name]
    models = NodeModels(config)
    models.prepare()
    server = NodeServer(config, models.load, models.image_shape, tasks_of=models.tasks_of)
    held = cluster.plans[0].onloading[name]
    await server.load(held)
    assert server.snapshot().models == held
    assert models.held_bytes[held[0]] == config.emulated[held[0]].weights_bytes
    if config.node.tier == "client":
        await ask(server, config, held[0])
    for size in ((96, 96), (300, 200)):
        body = picture(*size)
        decoded = models.decode(body, read_header(body))
        assert decoded.shape == (96, 96, 3) and (decoded == [255, 0, 0]).all()
    server.close()

for name in configs:
    asyncio.run(serve(name))
"""

WITHOUT_MODELS = """
from support.demo_setting import demo_setting
setting = demo_setting()
for name, config in configs_of(setting.topology, setting, None).items():
    models = NodeModels(config)
    if config.node.tier == "client":
        continue
    models.prepare()
    models.taken, models.image_shape("rooms-small-depth")
    assert "torch" not in sys.modules, name
models = NodeModels(configs_of(setting.topology, setting, None)["client-0"])
models.prepare()
assert "torch" in sys.modules  # before it listens: no picture waits for it
assert "timm" not in sys.modules
"""


CASES = {"alone": ALONE, "null": SETUP + NULL, "without-models": SETUP + WITHOUT_MODELS}


@pytest.mark.parametrize("case", CASES)
def test_a_node_imports_what_it_needs_and_no_more(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CASES[case]], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "HOME": "/nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
