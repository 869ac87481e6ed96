"""Machines that are reached by ssh: what is found out before anything is started, and how files
travel. The servers of ssh are real, and no Ray is started."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.errors import InputError
from cluster.provider_choice import SshChoice, SshHost
from cluster.providers import ssh
from cluster.providers.records import SshMachine, SshRecord
from cluster.providers.shipped_code import pack_code
from cluster.providers.software import Software, own_software
from cluster.providers.ssh import PROVIDER, UNPACK
from cluster.providers.ssh_command import quoted_path, run_on, ssh_command
from cluster.providers.ssh_look import MachineLook
from cluster.providers.state import ClusterError
from cluster.specs import SPECS
from cluster.topology import Topology
from support.lab import NEEDS_LAB, Lab, lab_of

TOPOLOGY = Topology.load(SPECS / "demo.yaml")
CLIENTS = ("client-0", "client-1", "client-2")
ABOVE = ("edge-0", "cloud")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab_of(tmp_path_factory.mktemp("lab")) as made:
        made.serve_ssh()
        yield made


def choice(lab: Lab, python: str = sys.executable, **second: object) -> SshChoice:
    hosts = [
        SshHost(host=address, python=python, nodes=nodes)
        for address, nodes in zip(lab.addresses, (CLIENTS, ABOVE), strict=True)
    ]
    return SshChoice(
        head_host=lab.here,
        ssh_config=lab.ssh_config,
        machines={"one": hosts[0], "two": hosts[1].model_copy(update=second)},
    )


class TestLab:
    pytestmark = NEEDS_LAB

    def test_machines_that_have_all_are_fine(self, lab: Lab) -> None:
        PROVIDER.check(TOPOLOGY, choice(lab))

    def test_every_machine_that_cannot_be_used_is_named_with_the_reason(self, lab: Lab) -> None:
        wanted = choice(lab, python="/no/python")
        with pytest.raises(ClusterError) as told:
            PROVIDER.check(TOPOLOGY, wanted)
        assert f"machine one: {lab.addresses[0]}: " in str(told.value)
        assert f"machine two: {lab.addresses[1]}: " in str(told.value)
        assert "/no/python: No such file" in str(told.value)

    def test_a_machine_that_nobody_knows_is_not_asked_about(self, lab: Lab, tmp_path: Path) -> None:
        config = tmp_path / "ssh.conf"
        config.write_text(lab.ssh_config.read_text().replace("/known", "/unknown"))
        wanted = choice(lab).model_copy(update={"ssh_config": config})
        words = r"not reached: Host key verification failed\.; `ssh [\d.]+ true` must work"
        with pytest.raises(ClusterError, match=words):
            PROVIDER.check(TOPOLOGY, wanted)

    def test_a_machine_without_a_server_is_named(self, lab: Lab) -> None:
        with pytest.raises(ClusterError, match=r"machine two: [\d.]+: not reached: .*refused"):
            PROVIDER.check(TOPOLOGY, choice(lab, port=2222))

    def test_what_says_something_else_is_no_python(self, lab: Lab) -> None:
        with pytest.raises(ClusterError, match="/bin/cat there said"):
            PROVIDER.check(TOPOLOGY, choice(lab, python="/bin/cat"))

    def test_files_travel_whole_and_only_once(self, lab: Lab, tmp_path: Path) -> None:
        root = tmp_path / "root"
        (root / "cluster").mkdir(parents=True)
        (root / "cluster/one.py").write_text("ONE = 1\n")
        code = pack_code(root)
        asked = choice(lab)
        there = SshMachine(
            machine=asked.machines["one"], python=sys.executable, code=code.folder(str(tmp_path))
        )
        record = SshRecord(
            head_host=lab.here,
            ssh_config=lab.ssh_config,
            folder="/tmp/none",
            machines={"one": there},
        )
        assert not ssh._has(record, there)
        for _ in range(2):  # the second finds them there
            ssh._ship(record, code.archive(), "one", there)
        assert ssh._has(record, there)
        folder = Path(there.code)
        assert [path.name for path in folder.rglob("*.py")] == ["one.py"]
        assert [path.name for path in folder.parent.iterdir()] == [code.digest[:16]]

    def test_a_command_that_fails_is_told_by_its_last_line(self, lab: Lab) -> None:
        machine = choice(lab).machines["one"]
        with pytest.raises(ClusterError, match=r"^[\d.]+: last$"):
            run_on(machine, lab.ssh_config, "echo first >&2; echo last >&2; false", b"", 20)
        with pytest.raises(ClusterError, match=r"no answer by ssh in 0 s"):
            run_on(machine, lab.ssh_config, "sleep 5", b"", 0.3)


def without_a_lab(nodes: tuple[str, ...] = ABOVE) -> SshChoice:
    return choice(Lab(Path("/nowhere")), nodes=nodes)


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        (("edge-0",), "cloud is on 0"),
        ((*ABOVE, "client-1"), "client-1 is on 2"),
        ((*ABOVE, "client-9"), "client-9"),
    ],
    ids=["one is nowhere", "one is on two", "one is unknown"],
)
def test_every_node_is_on_one_machine(nodes: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        PROVIDER.check(TOPOLOGY, without_a_lab(nodes=nodes))


def test_the_head_is_here() -> None:
    with pytest.raises(InputError, match=r"head_host 203\.0\.113\.9 is no address of this machine"):
        PROVIDER.check(TOPOLOGY, without_a_lab().model_copy(update={"head_host": "203.0.113.9"}))


def look(**changed: object) -> MachineLook:
    own = own_software()
    found = MachineLook(
        python="/p", version=own.python, home="/h", versions=dict(own.versions), cuda="13.0"
    )
    return found.model_copy(update=changed)


@pytest.mark.parametrize(
    ("found", "gpu", "words"),
    [
        (look(), True, None),
        (look(cuda=None), False, None),
        (look(cuda=None), True, "built for the CPU alone"),
        (look(version="3.8.1"), False, r"Python 3\.8\.1 there"),
        (look(versions={}), False, "ray is missing there"),
        (look(versions={**own_software().versions, "torch": "1.0"}), False, r"torch 1\.0 there"),
    ],
    ids=["same", "a CPU is enough", "no CUDA", "Python", "no packages", "another torch"],
)
def test_other_software_is_refused_with_what_differs(
    found: MachineLook, gpu: bool, words: str | None
) -> None:
    fault = ssh._fault(found, own_software(), gpu)
    if words is None:
        assert fault is None
    else:
        assert fault is not None

        assert re.search(words, fault)


def test_a_patch_of_python_does_not_matter() -> None:
    own = Software("3.11.7", {}, "")
    assert ssh._fault(look(version="3.11.2", versions={}), own, gpu=False) is None


def test_what_ssh_is_told() -> None:
    machine = SshHost(host="lab", user="me", port=2200, key=Path("/k"), nodes=("cloud",))
    words = ssh_command(machine, Path("/c"))
    assert words[0] == "ssh"
    assert words[-2:] == ["me@lab", "--"]
    for pair in (["-p", "2200"], ["-i", "/k"], ["-F", "/c"], ["-o", "BatchMode=yes"]):
        at = words.index(pair[1])
        assert words[at - 1 : at + 1] == pair


@pytest.mark.parametrize(
    ("path", "word"),
    [("~/my env/python", "~/'my env/python'"), ("/a b", "'/a b'"), ("a;rm", "'a;rm'")],
)
def test_a_path_is_one_word_of_the_shell(path: str, word: str) -> None:
    assert quoted_path(path) == word


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", ""])
def test_a_host_is_never_an_option(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        SshHost(host=host, nodes=("cloud",))


def test_a_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    file = tmp_path / "cluster/a.py"
    file.write_text("1")
    (tmp_path / "cluster/a.pyc").write_text("left out")
    first = pack_code(tmp_path)
    assert [path.name for path in first.files] == ["a.py"]
    file.write_text("2")
    assert pack_code(tmp_path).digest != first.digest
    file.rename(tmp_path / "cluster/b.py")
    assert pack_code(tmp_path).digest != first.digest


def test_unpacking_is_one_line_for_a_shell() -> None:
    assert "\n" not in UNPACK
    compile(UNPACK, "unpack", "exec")
