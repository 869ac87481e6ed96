"""`testbed manifests`: files by which Kubernetes or `ray up` brings a topology's cluster up.

They are only written: nothing here speaks to a Kubernetes, a cloud or another machine. What runs
next is said. The cluster that comes of it is attached to, by `testbed up` like any other.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
from collections.abc import Mapping
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from cluster.document import write_together
from cluster.errors import InputError
from cluster.manifests import kuberay as kubernetes
from cluster.manifests import ray_up as launcher
from cluster.manifests.by_node import HEAD, values_by_node
from cluster.manifests.process_settings import HEAD_PORT
from cluster.manifests.topology_files import topology_files
from cluster.specs import SPECS
from cluster.topology import Topology
from planner.plan import Plan
from profiling.published import refuse_unpublished
from serving.cli.console import VerbOutput
from serving.cli.inputs import Json, load_setting, naming_file, naming_plan
from serving.cli.output import check_folder
from serving.deploy.initial_plan import first_assignments

__all__ = ["manifests"]

manifests = typer.Typer(
    help="Files by which Kubernetes or `ray up` brings a cluster up.", no_args_is_help=True
)
SECRET = "secret.yaml"
COPIED = "machines"
"""the folder of what `ray up` copies to all of them"""
MODE = 0o600
"""of all files, since some have tokens in them"""
TopologyArgument = Annotated[Path, typer.Argument(help="topology YAML")]
Out = Annotated[Path, typer.Option("--out", help="folder of the files")]


class Cloud(StrEnum):
    """Those that machines are made in."""

    AWS = "aws"


@manifests.callback()
def _group() -> None:
    """Files by which Kubernetes or `ray up` brings a cluster up."""


@manifests.command()
def kuberay(
    out: Out,
    image: Annotated[str, typer.Option(help="of all pods: docker/Dockerfile makes one")],
    topology: TopologyArgument = SPECS / "demo.yaml",
    namespace: Annotated[str | None, typer.Option(help="of Kubernetes")] = None,
    affinity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO=KEY=VALUE",
            help="label of the Kubernetes nodes for a node, a tier, head or all; may be repeated",
        ),
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(help="plan.json: a RayService that starts with it")
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option(help="profiles.json, of which the plan was made")
    ] = None,
    as_json: Json = False,
) -> None:
    """Manifests for the KubeRay operator: one worker group a node of the topology.

    With --plan and --profiles a RayService, whose nodes Ray Serve starts; else a RayCluster, on
    which `testbed deploy` does. Tokens of a secret.yaml that is there already are kept.
    """
    told = VerbOutput(as_json)
    wanted = _read(topology)
    check_folder(out, "--out")
    if (plan is None) != (profiles is None):
        raise InputError("a RayService takes --plan and --profiles; name both, or neither")
    if namespace is not None and not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", namespace):
        raise InputError(
            f"--namespace: expected lower-case letters, digits and hyphens, got {namespace[:70]!r}"
        )
    form = "WHO=KEY=VALUE, such as edge=zone=lab"
    pods = kubernetes.Pods(
        _image(image), version("ray"), namespace,
        values_by_node(wanted, affinity or (), "--affinity", form),
    )  # fmt: skip
    more = {} if plan is None or profiles is None else _of_a_service(wanted, plan, profiles)
    with naming_file(topology):
        kubernetes.check_names(wanted)
    cluster = kubernetes.ray_service if more else kubernetes.ray_cluster
    named = "rayservice.yaml" if more else "raycluster.yaml"
    tokens = _tokens(out / SECRET)
    with naming_file(topology):
        objects = {
            SECRET: kubernetes.secret(wanted, pods, tokens),
            "config.yaml": kubernetes.config_map(wanted, pods, more),
            named: cluster(wanted, pods),
        }
    _write(told, out, {name: _dump(content) for name, content in objects.items()})
    space = "" if namespace is None else f" --namespace {namespace}"
    apply = " ".join(f"-f {out / name}" for name in objects)
    selector = f"ray.io/node-type=head,ray.io/cluster={wanted.name}"
    if more:
        selector = f"ray.io/node-type=head,ray.io/originated-from-cr-name={wanted.name}"
    told.say(f"next: kubectl apply {apply}")
    told.say(
        f"then, once `kubectl get pods{space}` says that all run: kubectl exec -it{space} "
        f"$(kubectl get pod{space} -l {selector} -o name) -- testbed up "
        f"{kubernetes.CONFIG_FOLDER}/topology.yaml"
    )
    told.result({"files": [str(out / name) for name in objects]})


@manifests.command(name="ray-up")
def ray_up(
    out: Out,
    ssh_user: Annotated[str, typer.Option(help="user on all machines")],
    topology: TopologyArgument = SPECS / "demo.yaml",
    ssh_key: Annotated[Path | None, typer.Option(help="file of the private key")] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO=ADDRESS",
            help="machine of a node, a tier, head or all; may be repeated, and carry several",
        ),
    ] = None,
    cloud: Annotated[
        Cloud | None, typer.Option(help="make machines there, rather than use those of --host")
    ] = None,
    region: Annotated[str | None, typer.Option(help="of the cloud, such as eu-central-1")] = None,
    instance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO=TYPE",
            help="type of machine of a node, a tier, head or all; may be repeated",
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help="of a container that Ray runs in; docker/Dockerfile makes one"),
    ] = None,
    setup: Annotated[
        list[str] | None,
        typer.Option(metavar="COMMAND", help="installs the testbed on a machine; may be repeated"),
    ] = None,
    as_json: Json = False,
) -> None:
    """A file for `ray up`, Ray's cluster launcher: on machines that are there, or in a cloud.

    A token of Ray's that is there already is kept.
    """
    told = VerbOutput(as_json)
    wanted = _read(topology)
    check_folder(out, "--out")
    launch = launcher.Launch(
        ssh_user, str((out / COPIED).absolute()),
        key=None if ssh_key is None else str(ssh_key.absolute()),
        image=None if image is None else _image(image), setup=setup or (),
    )  # fmt: skip
    files: dict[str, str] = {}
    if cloud is None:
        if region is not None or instance:
            raise InputError("--region and --instance are of a cloud; name it with --cloud aws")
        places = _last(values_by_node(wanted, host or (), "--host", "WHO=ADDRESS"), "--host")
        _check_addresses(places)
        address = f"{places[HEAD]}:{HEAD_PORT}"
        files = topology_files(wanted, address, launcher.REMOTE_TOKEN)
        config = launcher.on_machines(wanted, launch, places[HEAD], places)
        then = f"then, on {places[HEAD]}: testbed up {launcher.REMOTE_FOLDER}/topology.yaml"
    else:
        if host:
            raise InputError("--host names machines that are there; leave out --cloud, or --host")
        if region is None:
            raise InputError("--cloud: say where, such as --region eu-central-1")
        if image is None and not setup:
            raise InputError(
                "--cloud: new machines have no testbed; name an --image, or install it by --setup"
            )
        instances = _last(
            values_by_node(wanted, instance or (), "--instance", "WHO=TYPE"), "--instance"
        )
        config = launcher.in_cloud(wanted, launch, region, instances)
        then = (
            "then, on the head, which `ray attach` leads to: testbed up with a topology whose "
            "`provider: {kind: attach}` has address: the head's own, and token_file: "
            f"{launcher.REMOTE_TOKEN}"
        )
    files[launcher.TOKEN_FILE] = _token(out / COPIED / launcher.TOKEN_FILE)
    copied = {f"{COPIED}/{name}": text for name, text in files.items()}
    contents = {"cluster.yaml": _dump(config), **copied}
    _write(told, out, contents)
    told.say(f"next: ray up {out / 'cluster.yaml'}")
    told.say(then)
    told.result({"files": [str(out / name) for name in contents]})


def _read(file: Path) -> Topology:
    topology = Topology.load(file)
    with naming_file(file):
        refuse_unpublished(topology)
    return topology


def _of_a_service(topology: Topology, plan: Path, profiles: Path) -> dict[str, str]:
    """The files that the nodes of a RayService are made of. Raises `InputError` and `BudgetError`
    for what they would not start with."""
    setting = load_setting(topology, profiles)
    read = Plan.load(plan)
    with naming_plan(plan, "this topology and these profiles"):
        first_assignments(setting.as_planned(read), read)
    return {"profiles.json": profiles.read_text(), "plan.json": plan.read_text()}


def _image(image: str) -> str:
    if not re.fullmatch(r"[\w.\-/:@]{1,255}", image, re.ASCII):
        raise InputError(f"--image: expected one such as registry/testbed:0.2, got {image[:60]!r}")
    return image


def _check_addresses(places: Mapping[str, str]) -> None:
    """Raise `InputError` unless each is an address: a machine knows itself by those that it has."""
    for who, place in places.items():
        try:
            ipaddress.IPv4Address(place)
        except ValueError:
            raise InputError(
                f"--host {who}={place[:60]}: expected an IPv4 address, such as 10.0.0.2"
            ) from None


def _last(given: Mapping[str, tuple[str, ...]], option: str) -> dict[str, str]:
    """The value that says most of each: of itself, before that of its tier, before that of all."""
    missing = [who for who, values in given.items() if not values]
    if missing:
        raise InputError(
            f"{option}: {', '.join(missing)} {'has' if len(missing) == 1 else 'have'} none; name "
            f"one for each, such as {option} {missing[0]}=..., or for all ({option} all=...)"
        )
    return {who: values[-1] for who, values in given.items()}


def _tokens(file: Path) -> dict[str, str]:
    """Those of a Secret that was written before, so that a cluster which runs with them goes on; or
    new ones. Raises `InputError` for a file that is no such Secret."""
    if not file.exists():
        return {key: secrets.token_hex(24) for key in kubernetes.SECRET_KEYS}
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))["stringData"]
        return {key: str(found[key]) for key in kubernetes.SECRET_KEYS}
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        raise InputError(
            f"{file}: is there, and has no tokens of the testbed's; name another --out"
        ) from None


def _token(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except FileNotFoundError:
        return secrets.token_hex(24)


def _dump(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=100)


def _write(told: VerbOutput, folder: Path, contents: Mapping[str, str]) -> None:
    files = {folder / name: text for name, text in contents.items()}
    write_together(files, MODE)
    told.wrote(*files)
