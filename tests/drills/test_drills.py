"""Chaos drills: a process of each kind is killed or stopped at each step of a change of plan, and
under steady traffic, on a real local Ray cluster.

After each: all queries are accounted for, none ended in a 5xx but 503, and within a stated time the
nodes hold what the plan in force says. `make drills` prints the table; DRILLS_SEED sets the order
and the waiting times.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from drill_cluster import CLIENTS, DrillCluster, Worker, as_json, drill_cluster
from drill_traffic import Traffic

from cluster.providers.state import ClusterError
from serving.deploy.lease import CHANGE_TTL_S
from serving.errors import PlanChangeConflictError

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray is imported here, which warns of itself
]

SEED = int(os.environ.get("DRILLS_SEED", "1"))
HERE = Path(__file__).parent
WITHIN_S = 90.0
"""the nodes hold again what the plan in force says; 45 s of it pass until a node that hangs is
taken for dead"""
NODES = (CLIENTS[0], "edge-0", "cloud")
STEPS = ("load 1", "unload 1", "load 2", "loading 2", "route 2", "drain 2", "unload 2")
"""of a change in two stages: before each, and `loading` while models load"""
STEADY = "steady"


@dataclass(frozen=True)
class Drill:
    """One process, one signal, one moment."""

    victim: str
    step: str
    sign: str
    """KILL, TERM, STOP (and CONT some seconds later), HANG (STOP, and CONT at the end), or APPLY:
    another process changes plans at the same time"""

    def __str__(self) -> str:
        return f"{self.victim} {self.step} {self.sign}".replace(" ", "-")


def all_drills() -> list[Drill]:
    """Every combination, in an order that the seed gives."""
    victims = (*NODES, "controller", "store", "changer")
    found = [
        Drill(victim, step, sign)
        for victim in victims
        for step in STEPS
        for sign in ("KILL", "STOP")
    ]  # fmt: skip
    found += [Drill("changer", step, "TERM") for step in STEPS]
    found += [Drill("changer", "drain 2", "HANG")]
    found += [Drill(victim, STEADY, "HANG") for victim in (CLIENTS[0], "edge-0", "store")]
    found += [Drill("rival", step, "APPLY") for step in ("load 1", "drain 2")]
    found += [
        Drill(victim, STEADY, sign)
        for victim in (*NODES, "controller", "store", "generator", "live")
        for sign in ("KILL", "STOP")
    ]
    found += [Drill("live", STEADY, "TERM"), Drill("generator", "drain 2", "KILL")]
    random.Random(SEED).shuffle(found)
    return found


@dataclass
class Table:
    """What became of the drills."""

    rows: list[tuple[Drill, str, float]] = field(default_factory=list)

    def show(self) -> str:
        """For people."""
        rows = [f"{'drill':<28} {'seconds':>7}  outcome"]
        rows += [f"{drill!s:<28} {spent_s:7.1f}  {words}" for drill, words, spent_s in self.rows]
        failed = sum(words.startswith("FAILED") for _, words, _ in self.rows)
        return "\n".join([*rows, f"{len(self.rows)} drills, {failed} failed (seed {SEED})"])


class Changer:
    """The process that changes plans; started anew when a drill has ended it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._worker: Worker | None = None

    def worker(self) -> Worker:
        """A process that is ready."""
        if self._worker is None or self._worker.process.poll() is not None:
            self.close()
            self._worker = Worker(str(HERE / "drill_changer.py"), str(self._folder))
            assert self._worker.hear() == "ready", self._worker.end()
        return self._worker

    def close(self) -> None:
        """End it."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrillCluster]:
    with drill_cluster(tmp_path_factory.mktemp("drills")) as found:
        yield found


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    found = Table()
    yield found
    print(f"\n{found.show()}")


@pytest.fixture(scope="module")
def changer(cluster: DrillCluster) -> Iterator[Changer]:
    found = Changer(cluster.folder)
    yield found
    found.close()


@pytest.mark.parametrize("drill", all_drills(), ids=str)
def test_the_system_comes_back(
    drill: Drill, cluster: DrillCluster, changer: Changer, table: Table
) -> None:
    chance = random.Random(f"{SEED} {drill}")
    assert cluster.wait_until_settled(WITHIN_S) == [], "before the drill"
    before = cluster.in_force() or cluster.put_in_force("one")
    started_s = time.monotonic()
    traffic = Traffic(cluster.fleet.urls(), (cluster.folder / "picture.png").read_bytes())
    try:
        with ExitStack() as stack:
            if drill.step == STEADY:
                words = steady(drill, cluster, chance, stack)
                allowed = {before} if drill.victim != "live" else {cluster.in_force()}
            else:
                words, allowed = in_a_change(drill, cluster, changer, before, chance, stack)
            left = cluster.wait_until_settled(WITHIN_S)
        assert left == [], words
        assert cluster.in_force() in allowed, words
        time.sleep(1.0)  # of traffic on the system as it is now
    except BaseException as error:
        traffic.finish()
        reason = " ".join(str(error).split())[:160]
        table.rows.append((drill, f"FAILED: {reason}", time.monotonic() - started_s))
        changer.close()  # in the middle of a change, which is no drill's but this one's
        print(f"{drill}: FAILED: {reason}; {dict(traffic.outcomes)}", flush=True)
        raise
    settled_s = time.monotonic() - started_s
    traffic.finish()
    try:
        judge_traffic(drill, traffic)
    except AssertionError as error:
        table.rows.append((drill, f"FAILED: {' '.join(str(error).split())[:160]}", settled_s))
        raise
    counts = Counter[str]()
    for (_, outcome), count in traffic.outcomes.items():
        counts[outcome] += count
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    table.rows.append((drill, f"{words}; {said}", settled_s))
    print(f"{drill}: {settled_s:.1f} s; {words}; {said}", flush=True)


def judge_traffic(drill: Drill, traffic: Traffic) -> None:
    """Answered + refused = sent, and nobody saw a fault but callers of a client that was gone."""
    assert sum(traffic.outcomes.values()) == traffic.sent
    for (client, outcome), count in traffic.outcomes.items():
        lost_with_its_client = client == drill.victim and outcome == "unreachable"
        assert outcome in ("answered", "refused") or lost_with_its_client, (client, outcome, count)
    assert sum(n for (_, word), n in traffic.outcomes.items() if word == "answered") > 0


def send(drill: Drill, pid: int, chance: random.Random, stack: ExitStack) -> None:
    """The signal. A process that is stopped goes on after some seconds, or when the drill ends."""
    number = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM}.get(drill.sign, signal.SIGSTOP)
    os.kill(pid, number)
    if drill.sign == "STOP":
        time.sleep(chance.uniform(2.0, 5.0))
        go_on(pid)
    elif drill.sign == "HANG":
        stack.callback(go_on, pid)


def gone(pid: int, within_s: float) -> bool:
    """Whether a process ends within that time."""
    ends_s = time.monotonic() + within_s
    while psutil.pid_exists(pid) and time.monotonic() < ends_s:
        time.sleep(0.2)
    return not psutil.pid_exists(pid)


def go_on(pid: int) -> None:
    if psutil.pid_exists(pid):
        os.kill(pid, signal.SIGCONT)


def begin(worker: Worker, plan: str) -> str:
    """Begin a change; the first thing heard of it. The lease of one that was killed may have to run
    out before."""
    ends_s = time.monotonic() + CHANGE_TTL_S + 5
    while True:
        worker.say(f"apply {plan}")
        heard = worker.hear()
        if not heard.startswith("failed PlanChangeConflict") or time.monotonic() > ends_s:
            return heard
        time.sleep(1)


def act(
    drill: Drill, cluster: DrillCluster, worker: Worker, chance: random.Random, stack: ExitStack
) -> None:
    """Do to the victim what the drill says, in the middle of a change by `worker`."""
    if drill.victim == "rival":
        with pytest.raises(PlanChangeConflictError, match="Nothing was touched"):
            cluster.put_in_force("one")
        return
    if drill.victim == "changer":
        pid = worker.process.pid
    elif drill.victim == "generator":
        pid = start_generator(cluster, stack).process.pid
    else:
        pid = cluster.pid(drill.victim)
    send(drill, pid, chance, stack)
    if drill.sign == "HANG":
        assert cluster.wait_until_settled(WITHIN_S) == []
        go_on(pid)


def in_a_change(
    drill: Drill,
    cluster: DrillCluster,
    changer: Changer,
    before: str,
    chance: random.Random,
    stack: ExitStack,
) -> tuple[str, set[str]]:
    """Change to the other plan, and act before the drill's step; (what came of it, the plans that
    may be in force then)."""
    after = "two" if before == "one" else "one"
    worker = changer.worker()
    wanted = drill.step.replace("loading", "load")
    acted = False
    heard = begin(worker, cluster.plan_path(after))
    while heard and not heard.startswith(("done", "failed")):
        here = heard == f"step {wanted}"
        if not here or drill.step.startswith("loading"):
            worker.say("go")
        if here:
            acted = True
            if drill.step.startswith("loading"):
                time.sleep(chance.uniform(0.02, 0.2))
            act(drill, cluster, worker, chance, stack)
            if drill.sign == "HANG":
                assert cluster.in_force() == after  # its routes had been written
            if not drill.step.startswith("loading"):
                worker.say("go")
        heard = worker.hear()
    assert acted, heard
    if heard.startswith("done"):
        assert not (drill.victim == "changer" and drill.sign == "KILL")
        return heard, {after}
    if drill.victim == "changer" and drill.sign == "TERM":  # finished first, then ended by it
        status, _, errors = worker.end()
        assert (heard, status) == ("", -signal.SIGTERM), errors
        return "finished, then ended", {after}
    if drill.victim == "changer":
        return heard or "killed", {before, after}
    assert heard.startswith("failed PlanChange"), heard
    return heard[:120], {before}


def steady(drill: Drill, cluster: DrillCluster, chance: random.Random, stack: ExitStack) -> str:
    """Act while a plan is in force and nobody changes it; what came of it."""
    if drill.victim == "live":
        return live_loop(drill, cluster, chance, stack)
    if drill.victim == "generator":
        generator = start_generator(cluster, stack)
        send(drill, generator.process.pid, chance, stack)
        if drill.sign == "STOP":
            status, said, errors = generator.end()
            assert status == 0, errors
            return f"the generator counted {said.strip()}"
        return f"the generator ended with {generator.process.wait(10)}"
    time.sleep(chance.uniform(0.2, 1.0))
    pid = cluster.pid(drill.victim)
    send(drill, pid, chance, stack)
    if drill.victim == "store" and drill.sign == "HANG":
        with pytest.raises(ClusterError, match="the store of assignments gave no answer"):
            cluster.put_in_force("one")
        go_on(pid)
        time.sleep(CHANGE_TTL_S + 1)  # the lease that was asked for in vain runs out
        return "changes were refused meanwhile"
    if drill.sign == "HANG":  # until Serve replaces it
        ends_s = time.monotonic() + WITHIN_S
        while cluster.differences() == [] and time.monotonic() < ends_s:
            time.sleep(0.5)
        assert cluster.wait_until_settled(WITHIN_S) == []
        assert cluster.pid(drill.victim) != pid
        go_on(pid)  # Ray's word that it has to end waits for it
        assert gone(pid, 30.0)
        return "it was replaced"
    return "it came back"


def start_generator(cluster: DrillCluster, stack: ExitStack) -> Worker:
    """A load generator that sends beside the drill's own traffic."""
    urls = as_json(cluster.fleet.urls())
    worker = Worker(str(HERE / "drill_traffic.py"), urls, str(cluster.folder / "picture.png"))
    stack.callback(worker.kill)
    assert worker.hear() == "begun"
    return worker


def live_loop(drill: Drill, cluster: DrillCluster, chance: random.Random, stack: ExitStack) -> str:
    """`testbed live` beside the traffic: it goes on, or its exit says why it does not."""
    profiles = str(cluster.folder / "profiles.json")
    plan = cluster.folder / "live.json"
    plan.write_text(Path(cluster.plan_path(cluster.in_force())).read_text())
    worker = Worker(
        "-m", "testbed", "live", "--profiles", profiles, "--plan", str(plan), "--period", "1"
    )
    stack.callback(worker.kill)
    while "queries/s" not in (heard := worker.hear()):
        assert heard, worker.end()
    send(drill, worker.process.pid, chance, stack)
    if drill.sign == "STOP":
        assert "queries/s" in worker.hear()
        assert worker.process.poll() is None
        worker.process.send_signal(signal.SIGTERM)
    status = worker.process.wait(60)
    # 143 says that SIGTERM ended it, after what it had to write (`serving.cli.exits`).
    assert status == (-signal.SIGKILL if drill.sign == "KILL" else 143), worker.end()
    return f"the loop ended with {status}"


if __name__ == "__main__":
    sys.exit(pytest.main(["-s", "-m", "slow", __file__]))
