// Everything beside the picture: cards, charts, tables, budgets, decisions, events.
import { byId, clock, figure, keyed, make, milliseconds, parsed, percent, write } from "./dom.js";

let about = { reasons: {}, tasks: {} };

export function openPanels(told) {
  about = told;
}

export function showFrame(frame) {
  cards(frame);
  charts(frame);
  accuracy(frame);
  latency(frame);
  budgets(frame);
  decisions(frame);
  events(frame);
  write(byId("note"), frame.note);
}

function cards(frame) {
  write(byId("card-asked"), figure(frame.asked_qps));
  write(byId("card-answered"), `${figure(frame.answered_qps)} answered`);
  const overall = frame.accuracy[0];
  write(byId("card-accuracy"), figure(overall?.value, 3));
  write(byId("card-accuracy-kind"), overall?.source === "labels" ? "accuracy, with labels" : "accuracy, estimated");
  write(byId("card-promised"), `${figure(overall?.promised, 3)} promised`);
  const answers = frame.latency.reduce((sum, row) => sum + row.answers, 0);
  const within = frame.latency.reduce((sum, row) => sum + row.within_share * row.answers, 0);
  write(byId("card-within"), answers ? percent(within / answers, 1) : "–");
  const slowest = frame.latency.reduce((most, row) => Math.max(most, row.p95_s ?? 0), 0);
  write(byId("card-latency"), answers ? `p95 up to ${milliseconds(slowest)}` : "no answer lately");
  const plan = frame.plan;
  write(byId("card-version"), plan ? String(plan.version) : "–");
  write(byId("card-policy"), plan ? `plan version, by ${plan.policy}` : "no plan is known");
  write(byId("card-gap"), plan?.gap === null || plan === null ? "nothing proven of it"
    : `${figure(plan.objective, 3)} of at most ${figure(plan.upper_bound, 3)} (gap ${percent(plan.gap, 1)})`);
}

function charts(frame) {
  for (const [name, drawing] of Object.entries(frame.charts ?? {}))
    byId(`chart-${name}`).replaceChildren(parsed(drawing));
}

function accuracy(frame) {
  const [overall, ...tasks] = frame.accuracy;
  write(byId("accuracy-source"), overall?.source === "labels"
    ? "measured with labels" : "estimated from the models that answered");
  keyed(byId("accuracy"), tasks, (row) => row.task,
    (row) => {
      const dot = make("span", { class: "dot" });
      dot.style.background = about.tasks[row.task] ?? "var(--rest)";
      return make("tr", {}, make("th", { scope: "row" }, dot, row.task),
        make("td", { class: "n" }), make("td", { class: "n" }));
    },
    (line, row) => {
      write(line.children[1], figure(row.value, 3));
      write(line.children[2], figure(row.promised, 3));
    });
}

const TIERS = ["client", "edge", "cloud"];

function latency(frame) {
  write(byId("latency-source"), frame.latency_source === "callers" ? "as callers had it" : "as nodes had it");
  const found = new Map(frame.latency.map((row) => [row.tier, row]));
  keyed(byId("latency"), TIERS, (tier) => tier,
    (tier) => {
      const dot = make("span", { class: "dot" });
      dot.style.background = `var(--${tier})`;
      const cells = [1, 2, 3, 4].map(() => make("td", { class: "n" }));
      return make("tr", {}, make("th", { scope: "row" }, dot, tier), ...cells);
    },
    (line, tier) => {
      const row = found.get(tier);
      write(line.children[1], milliseconds(row?.p50_s));
      write(line.children[2], milliseconds(row?.p95_s));
      write(line.children[3], row?.bound_s ? milliseconds(row.bound_s) : "–");
      write(line.children[4], percent(row?.within_share, 1));
    });
  keyed(byId("refusals"), frame.refusals, (row) => `${row.reason}/${row.spilled}`,
    (row) => {
      const dot = make("span", { class: "dot" });
      dot.style.background = about.reasons[row.reason] ?? "var(--fault)";
      return make("li", {}, dot, make("span"));
    },
    (line, row) => write(line.children[1], row.spilled
      ? `${figure(row.qps, 2)} a second took another way: ${row.reason}`
      : `${figure(row.qps, 2)} a second refused: ${row.reason}`));
}

function budgets(frame) {
  const ordered = [...frame.budgets].sort((a, b) =>
    (b.planned.gain_of_tenth ?? 0) - (a.planned.gain_of_tenth ?? 0));
  keyed(byId("budgets"), ordered, (row) => `${row.planned.label}/${row.planned.node}`,
    () => make("div", { class: "budget", role: "listitem" },
      make("div", { class: "top" }, make("span"), make("span")),
      make("div", { class: "meter" }, make("i"), make("u")), make("small")),
    (box, row) => {
      const planned = row.planned, used = row.used_share;
      const [top, meter, words] = box.children;
      write(top.children[0], `${planned.place} (${planned.label})`);
      write(top.children[1], `${percent(used)}, plan ${percent(planned.planned_share)}`);
      meter.children[0].style.width = `${100 * Math.min(1, used ?? 0)}%`;
      meter.children[0].classList.toggle("over", (used ?? 0) > 1.0);
      meter.children[1].style.left = `calc(${100 * Math.min(1, planned.planned_share)}% - 2px)`;
      box.classList.toggle("binds", planned.binds);
      const gain = planned.gain_of_tenth;
      write(words, planned.binds && gain !== null
        ? `of ${planned.budget_words}; binds: ${planned.label === "F4" ? "one more model" : "10 % more"} buys at most +${gain.toFixed(4)} accuracy`
        : `of ${planned.budget_words}`);
    });
}

const SIGNED = (value) => (value >= 0 ? "+" : "") + value.toFixed(4);
const HEADS = ["alternative", "accuracy", "gain", "at least", "cost", "models move", "proven bound", "gap"];

function decisions(frame) {
  keyed(byId("decisions"), frame.decisions, (decision) => decision.number,
    () => make("details", {}, make("summary"), make("p"),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Alternatives" },
        make("table", {}, make("thead", {}, make("tr", {}, ...HEADS.map((head) => make("th", { scope: "col" }, head)))), make("tbody")))),
    fillDecision);
}

function fillDecision(box, decision) {
  const stamp = `${decision.known_s}/${decision.version}`;
  if (box.dataset.stamp === stamp) return;
  box.dataset.stamp = stamp;
  const became = decision.fault ? `failed: ${decision.fault}`
    : decision.version ? `plan version ${decision.version} after ${decision.change_s.toFixed(1)} s`
    : decision.dry_run && decision.changes ? "would change"
    : decision.changes ? "a new plan goes out" : "the plan stays";
  const [summary, why, scroll] = box.children;
  write(summary, `${clock(decision.at_s)}: ${became}`);
  summary.classList.toggle("changed", decision.changes);
  const absent = decision.absent.length ? ` Planned without ${decision.absent.join(", ")}.` : "";
  write(why, `Why now: ${decision.why} (${figure(decision.load_qps)} queries/s). The choice: ${decision.reason}.${absent} It took ${decision.took_s.toFixed(2)} s.`);
  const rows = decision.alternatives.map((other) => {
    const cells = [other.kind, other.objective.toFixed(4), SIGNED(other.gain), SIGNED(other.sure_gain),
      other.cost.toFixed(4), String(other.loads), figure(other.upper_bound, 4),
      other.gap === null ? "–" : percent(other.gap, 2)];
    return make("tr", { class: other.chosen ? "chosen" : "" },
      ...cells.map((words, k) => make("td", { class: k ? "n" : "" }, k || !other.chosen ? words : `▸ ${words}`)));
  });
  scroll.querySelector("tbody").replaceChildren(...rows);
}

function events(frame) {
  const told = frame.events.length ? frame.events : [{ at_s: 0, words: "nothing yet" }];
  keyed(byId("events"), told, (event) => `${event.at_s}/${event.words}`,
    () => make("li"),
    (line, event) => write(line, event.words === "nothing yet" ? event.words : `${clock(event.at_s)}: ${event.words}`));
}
