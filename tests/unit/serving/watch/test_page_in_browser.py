"""The page in a headless Chromium: what it shows, what it does, and how it bears a server's end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

from serving.watch.acts import Act, ActName, NoActs, Offer, WatchActs
from serving.watch.facts import facts_of
from serving.watch.history import WatchHistory
from serving.watch.recorded import Recorded
from serving.watch.server import WatchServer
from serving.watch.serving_thread import serve_beside
from serving.watch.source import LiveSource, LoopState, Replay, WatchSource
from support.browser import chromium, faults_of_axe
from support.demo_setting import demo_demand, demo_setting
from support.watch_cases import MadeUpNodes, SetClock, demo_plan, made_up_decision

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright")

WIDE, PHONE = {"width": 1200, "height": 900}, {"width": 400, "height": 800}
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_error_of_the_server(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [r.getMessage() for r in caplog.get_records("call") if r.levelname == "ERROR"] == []


@dataclass
class FakeSystem:
    """A running system whose time the test passes, and whose acts are only noted."""

    refuses: str = ""
    done: list[str] = field(default_factory=list)
    state: LoopState = "running"

    def __post_init__(self) -> None:
        setting = demo_setting()
        self.clock, self.phase = SetClock(), demo_demand().phases[0]
        plan = demo_plan(setting, self.phase)
        self.history = WatchHistory(facts_of(setting), self.clock)
        self.nodes = MadeUpNodes(setting, plan)
        self.history.planned(plan, setting.problem(self.phase))
        self.history.looked(self.nodes.snapshots_within(1.0))
        self.source = LiveSource(self.history, lambda: self.state)

    def pass_time(self, seconds: float = 1.0) -> None:
        self.clock.now_s += seconds
        self.nodes.pass_time(self.phase, seconds)
        self.history.looked(self.nodes.snapshots_within(1.0))

    def offers(self) -> tuple[Offer, ...]:
        return tuple(Offer(name=name, why_not=self.refuses) for name in ActName)

    async def act(self, act: Act) -> str:
        self.done.append(str(act))
        if act.name in (ActName.PAUSE, ActName.RESUME):
            self.state = "paused" if act.name is ActName.PAUSE else "running"
        return f"done: {act}"


@contextmanager
def opened(
    browser: Browser,
    server: WatchServer,
    *,
    viewport: dict[str, int] = WIDE,
    scheme: Scheme = "light",
    still: bool = True,
) -> Iterator[Page]:
    """A page on a server that runs; whatever its console says fails the test."""
    said: list[str] = []
    context = browser.new_context(
        viewport=viewport,  # type: ignore[arg-type]
        color_scheme=scheme,
        reduced_motion="reduce" if still else "no-preference",
    )
    page = context.new_page()
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.address)
    page.wait_for_selector("#card-version:not(:text('–'))")
    try:
        yield page
    finally:
        context.close()
    assert [line for line in said if "ERR_CONNECTION_REFUSED" not in line] == []


@contextmanager
def served(source: WatchSource, acts: WatchActs) -> Iterator[WatchServer]:
    server = WatchServer(source, acts, "test")
    with serve_beside(server):
        yield server


@pytest.fixture(scope="module")
def replayed(recorded: Recorded) -> Iterator[WatchServer]:
    with served(Replay(recorded), NoActs("this is a recording")) as server:
        yield server


def move_to(page: Page, at_s: float) -> None:
    page.evaluate(
        "at => { const m = document.getElementById('moment'); m.value = at;"
        " m.dispatchEvent(new Event('input')); }",
        at_s,
    )
    page.wait_for_function(
        f"() => document.getElementById('clock').value.startsWith('{at_s:.1f} ')"
    )
    page.wait_for_function("() => document.querySelectorAll('#chart-load svg').length === 1")
    page.wait_for_timeout(150)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_recorded_run_is_shown_without_a_fault(
    browser: Browser, replayed: WatchServer, viewport: dict[str, int], scheme: Scheme
) -> None:
    with opened(browser, replayed, viewport=viewport, scheme=scheme) as page:
        move_to(page, 43.0)
        assert page.inner_text("#note") == "no answer of edge-0"
        assert page.inner_text("#card-version") == "2"
        assert "silent" in page.inner_html('.machine[data-node="edge-0"]')
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        page.click("#decisions summary")
        assert "0.6752" in page.inner_text("#decisions")
        assert faults_of_axe(page) == []


def test_what_a_reader_cannot_use_would_be_found(browser: Browser, replayed: WatchServer) -> None:
    with opened(browser, replayed) as page:
        page.evaluate("document.querySelector('main').append(document.createElement('button'))")
        assert any("button-name" in fault for fault in faults_of_axe(page))


def test_nothing_jumps_while_time_passes(browser: Browser, replayed: WatchServer) -> None:
    places = (
        "() => [...document.querySelectorAll('section, figure')]"
        ".map(each => each.getBoundingClientRect().top)"
    )
    with opened(browser, replayed) as page:
        move_to(page, 10.0)
        before = page.evaluate(places)
        move_to(page, 19.0)
        assert page.evaluate(places) == before


def test_play_pause_speed_and_slider_by_keyboard(browser: Browser, replayed: WatchServer) -> None:
    with opened(browser, replayed) as page:
        page.focus("#play")
        page.keyboard.press("Enter")
        page.wait_for_function("() => parseFloat(document.getElementById('clock').value) > 0.3")
        page.select_option("#speed", "10")
        page.wait_for_function("() => parseFloat(document.getElementById('clock').value) > 6")
        page.focus("#play")
        page.keyboard.press("Enter")
        assert page.inner_text("#play") == "Play"
        page.focus("#moment")
        page.keyboard.press("End")
        page.wait_for_function("() => document.getElementById('clock').value.startsWith('60.0')")
        page.keyboard.press("Home")
        page.wait_for_function("() => document.getElementById('clock').value.startsWith('0.0')")


def test_dashes_move_unless_a_reader_wants_them_still(
    browser: Browser, replayed: WatchServer
) -> None:
    offsets = "() => [...document.querySelectorAll('.dash')].map(p => p.style.strokeDashoffset)"
    with opened(browser, replayed) as page:
        move_to(page, 19.0)
        assert set(page.evaluate(offsets)) == {""}
    with opened(browser, replayed, still=False) as page:
        page.wait_for_function(f"() => new Set(({offsets})()).size > 1")
        before = page.evaluate(offsets)
        page.wait_for_function(
            f"before => ({offsets})().filter((at, k) => at !== before[k]).length > 3", arg=before
        )


@pytest.mark.parametrize("how", ["keyboard", "pointer"])
def test_every_act_is_taken(browser: Browser, how: str) -> None:
    system = FakeSystem()

    def take(page: Page, selector: str) -> None:
        if how == "pointer":
            page.click(selector)
        else:
            page.focus(selector)
            page.keyboard.press("Enter")
        expected = len(system.done)
        page.wait_for_function(
            "() => document.getElementById('done').textContent.startsWith('done')"
        )
        assert len(system.done) >= expected
        page.evaluate("document.getElementById('done').textContent = ''")

    with served(system.source, system) as server, opened(browser, server) as page:
        take(page, "#pause")
        system.pass_time()
        page.wait_for_selector("#pause:text('Go on')")
        take(page, "#pause")
        take(page, "#plan_now")
        take_node(page, how, "client-0")
        names = ("kill_node", "stop_node", "resume_node", "lose_device", "restore_device")
        for name in (*names, "cut_link", "slow_link", "restore_link"):
            take(page, f'#chosen [data-act="{name}"]')
        take(page, '#chosen-load button:text("× 2")')
        assert faults_of_axe(page) == []
        page.click("#chosen-close")
        assert page.evaluate("document.activeElement.dataset.node") == "client-0"
    assert system.done == [
        "pause", "resume", "plan now", *(f"{name.replace('_', ' ')} client-0" for name in names),
        "cut link client-0 to edge-0", "slow link client-0 to edge-0 by 4",
        "restore link client-0 to edge-0", "scale load client-0 by 2",
    ]  # fmt: skip


def take_node(page: Page, how: str, name: str) -> None:
    machine = f'.machine[data-node="{name}"]'
    if how == "pointer":
        page.click(machine)
    else:
        page.focus(machine)
        page.keyboard.press("Space")
    page.wait_for_selector(f"#chosen-title:text('Node {name}')")


def test_what_is_not_offered_says_why(browser: Browser) -> None:
    system = FakeSystem(refuses="the loop is elsewhere")
    with served(system.source, system) as server, opened(browser, server) as page:
        assert page.is_disabled("#pause")
        assert page.inner_text("#loop-why") == "the loop is elsewhere"
        take_node(page, "keyboard", "edge-0")
        assert page.is_disabled('#chosen [data-act="kill_node"]')
        assert page.inner_text("#chosen-why") == "the loop is elsewhere"


def test_a_running_system_is_shown_as_it_changes(browser: Browser) -> None:
    system = FakeSystem()
    with served(system.source, system) as server, opened(browser, server) as page:
        for _ in range(6):
            system.pass_time()
        page.wait_for_function(
            "() => parseFloat(document.getElementById('card-asked').textContent) > 20"
        )
        system.history._note(made_up_decision(system.clock.now_s))
        page.wait_for_selector("#decisions summary")
        system.history.happened("cut", link="client-0 to edge-0", condition="cut")
        page.wait_for_selector('[data-link="client-0 to edge-0"].bad')
        system.nodes.gone.add("edge-0")
        system.pass_time()
        page.wait_for_selector('.machine[data-node="edge-0"].bad')
        assert page.get_attribute("#decisions", "aria-live") == "polite"


def test_the_page_goes_on_when_another_server_has_its_place(browser: Browser) -> None:
    system = FakeSystem()
    first = WatchServer(system.source, system, "test")
    with serve_beside(first):
        context = browser.new_context(viewport=WIDE)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(first.address)
        page.wait_for_selector("#connection:text('live')")
    page.wait_for_selector("#connection.lost", timeout=5_000)
    second = WatchServer(system.source, system, "test", first.port, first.keys)
    with serve_beside(second):
        page.wait_for_function(
            "() => document.getElementById('connection').textContent === 'live'", timeout=8_000
        )
        before = page.inner_text("#card-asked")
        for _ in range(6):
            system.pass_time()
        page.wait_for_function(
            f"() => document.getElementById('card-asked').textContent !== '{before}'"
        )
    # One with other keys does not take the page for its own.
    stranger = WatchServer(system.source, system, "test", first.port)
    with serve_beside(stranger):
        page.wait_for_selector("#connection:text('open the address')", timeout=8_000)
    context.close()
    assert threading.active_count() < 20


def test_a_page_that_was_closed_is_looked_after_no_more(browser: Browser) -> None:
    system = FakeSystem()
    with served(system.source, system) as server:
        with opened(browser, server), opened(browser, server):
            assert system.source.open_pages == 2
        deadline_s = time.monotonic() + 10.0
        while system.source.open_pages and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert system.source.open_pages == 0


def test_without_its_token_the_page_says_so_in_one_sentence(
    browser: Browser, replayed: WatchServer
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(replayed.address.partition("?")[0])
    assert page.inner_text("main p").count(".") == 1
    assert "open the address that `testbed watch` printed" in page.inner_text("main p")
    assert faults_of_axe(page) == []
    context.close()
