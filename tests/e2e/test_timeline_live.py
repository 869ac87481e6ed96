"""Events of a timeline on a real cluster: links, signals, callers who wait, and the peak."""

from __future__ import annotations

import json

import psutil
import pytest
import yaml

from serving.traffic.measurement import Measurements
from support.testbed_process import Testbed

pytestmark = pytest.mark.cluster

RATES = {
    "client-0": {"segmentation": 3.0, "depth": 2.0},
    "client-1": {"depth": 3.0},
    "client-2": {"segmentation": 2.0},
}


def test_events_come_about_at_their_times_and_are_mended_with_the_run(walked: Testbed) -> None:
    deployed = walked.run("deploy")
    assert deployed.returncode == 0, deployed.stderr
    before = {name: walked.replica(name).pid for name in ("edge-0", "cloud")}
    timeline = [
        {"at_s": 3, "cut_link": ["client-0", "edge-0"]},
        {"at_s": 6, "restore_link": ["client-0", "edge-0"]},
        {"at_s": 7, "slow_link": {"link": ["client-1", "edge-0"], "factor": 4}},
        {"at_s": 8, "stop_node": "cloud"},
        {"at_s": 10, "resume_node": "cloud"},
        {"at_s": 11, "slow_node": {"node": "edge-0", "factor": 3}},
        {"at_s": 13, "kill_node": "cloud"},
    ]
    phase = {
        "duration_s": 15,
        "rates_qps": RATES,
        "arrivals": {"client-2": {"kind": "closed_loop", "callers": 3, "think_s": 0.5}},
    }
    demand = walked.folder / "events.yaml"
    demand.write_text(yaml.safe_dump({"name": "e", "phases": [phase], "timeline": timeline}))
    rows_path = walked.folder / "events.parquet"
    driven = walked.run("drive", "--demand", str(demand), "-o", str(rows_path), "--json")
    assert driven.returncode == 0, driven.stderr
    measured = json.loads(driven.stdout)
    assert measured["errors"] == 0
    # Three callers who think for half a second ask at most six times a second.
    assert 20 < measured["sent"]["by_client"]["client-2"]["queries"] <= 6 * 15 * 1.3

    rows = Measurements.load(rows_path)
    above = rows.answered & (rows.client == "client-0") & (rows.tier != "client")
    assert not above[(rows.scheduled_s > 3.3) & (rows.done_s < 6)].any()
    assert above[rows.scheduled_s < 3].any()
    assert above[rows.scheduled_s > 6.5].any()
    assert not (rows.answered & (rows.node == "cloud") & (rows.done_s > 8.2))[
        rows.done_s < 10
    ].any()

    edge = psutil.Process(before["edge-0"])  # neither stopped nor started anew
    assert edge.status() != psutil.STATUS_STOPPED
    assert not psutil.pid_exists(before["cloud"])


def test_a_timeline_that_names_nobody_changes_nothing(walked: Testbed) -> None:
    phase = {"duration_s": 5, "rates_qps": RATES}
    demand = walked.folder / "nobody.yaml"
    timeline = [{"at_s": 1, "kill_node": "edge-7"}]
    demand.write_text(yaml.safe_dump({"name": "n", "phases": [phase], "timeline": timeline}))
    rows_path = walked.folder / "nobody.parquet"
    driven = walked.run("drive", "--demand", str(demand), "-o", str(rows_path))
    assert driven.returncode == 2
    (line,) = driven.stderr.splitlines()
    assert "timeline.0.kill_node: no node is named 'edge-7'; did you mean edge-0?" in line
    assert not rows_path.exists()


@pytest.mark.slow  # `make drills` runs it; a peak costs a run for every factor that is tried
def test_the_peak_of_the_running_system_is_found(walked: Testbed) -> None:
    options = ["--share", "0.5", "--seeds", "1", "--tolerance", "1", "--duration", "4", "--json"]
    found = walked.run("drive", "--find-peak", *options)
    assert found.returncode == 0, found.stderr
    peak = json.loads(found.stdout)
    assert peak["share_in_time"] >= 0.5
    assert peak["factor"] < peak["fails_at_factor"] <= 2 * peak["factor"]
    assert peak["rate_qps"] > 0


@pytest.mark.slow  # `make drills` runs it; the loop itself is driven by the README's walk
def test_the_live_loop_brings_its_own_traffic(walked: Testbed) -> None:
    assert walked.run("deploy").returncode == 0
    live = walked.run("live", "--drive", "--duration", "5", "--json")
    assert live.returncode == 0, live.stderr
    told = json.loads(live.stdout)
    assert told["measured"]["queries"] > 200
    assert told["measured"]["errors"] == 0
    assert walked.run("report").returncode == 0
