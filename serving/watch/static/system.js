// The picture of nodes and links: drawn by the server once, figures written into it here.
import { figure, parsed, percent, short, write } from "./dom.js";

const still = window.matchMedia("(prefers-reduced-motion: reduce)");
const PERIOD = 20; // of the dashes, as in the style sheet
const STEP_MS = 100; // an eye still sees dashes move; at a screen's own pace they took a tenth of a core
const flows = new Map(); // path -> {pace: dashes a second, offset}
setInterval(step, STEP_MS);

export function drawSystem(box, picture, choose) {
  const chosen = box.querySelector('.machine[aria-pressed="true"]')?.dataset.node;
  box.replaceChildren(parsed(picture));
  flows.clear(); // of paths that are gone
  for (const machine of box.querySelectorAll(".machine")) {
    machine.setAttribute("aria-pressed", String(machine.dataset.node === chosen));
    const pick = () => {
      for (const other of box.querySelectorAll(".machine"))
        other.setAttribute("aria-pressed", String(other === machine));
      choose(machine.dataset.node);
    };
    machine.addEventListener("click", pick);
    machine.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      pick();
    });
  }
}

export function showSystem(box, frame) {
  const promise = frame.plan?.promise;
  for (const node of frame.nodes) {
    const machine = box.querySelector(`[data-node="${CSS.escape(node.name)}"]`);
    if (machine) showNode(machine, node, promise?.busy_by_node[node.name]);
  }
  for (const link of frame.links) {
    const drawn = box.querySelector(`[data-link="${CSS.escape(link.name)}"]`);
    if (drawn) showLink(drawn, link);
  }
}

const part = (drawn, name) => drawn.querySelector(`[data-figure="${name}"]`);

function showNode(machine, node, planned) {
  const bad = node.health !== "well";
  machine.classList.toggle("bad", bad);
  write(part(machine, "health"), bad ? node.health : "");
  const load =
    node.tier === "client"
      ? `${figure(node.arrived_qps)} q/s asked`
      : `answers ${figure(node.answered_qps)} q/s`;
  write(part(machine, "load"), load);
  machine.dataset.arrived = node.arrived;
  const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(bytes < 100 * 2 ** 20 ? 1 : 0);
  bar(machine, "memory", node.memory_bytes / node.memory_budget_bytes,
    `${mebibytes(node.memory_bytes)} of ${mebibytes(node.memory_budget_bytes)} MiB`);
  bar(machine, "compute", node.busy_share / node.compute_budget,
    `${percent(node.busy_share)} of ${percent(node.compute_budget)}`);
  const tick = part(machine, "compute-planned");
  if (planned !== undefined) {
    const x = Number(tick.dataset.left) + Number(tick.dataset.length) * Math.min(1, planned / node.compute_budget);
    tick.setAttribute("x1", x);
    tick.setAttribute("x2", x);
    tick.setAttribute("visibility", "visible");
  } else tick.setAttribute("visibility", "hidden");
  const rows = [...machine.querySelectorAll("[data-row]")];
  rows.forEach((row, position) => {
    const more = node.models.length - rows.length;
    const last = position === rows.length - 1 && more > 0;
    const model = node.models[position];
    write(part(row, "model"), last ? `and ${more + 1} more` : model ? short(model.name) : "");
    const waits = model?.waiting ? `, ${model.waiting} wait` : "";
    write(part(row, "model-load"), last || !model ? "" : `${figure(model.qps)} q/s${waits}`);
  });
  const models = node.models.map((model) => short(model.name)).join(", ") || "no model";
  const label = `${node.name}, ${node.tier}, ${bad ? node.health : "well"}, holds ${models}`;
  if (machine.getAttribute("aria-label") !== label) machine.setAttribute("aria-label", label);
}

function bar(machine, name, share, words) {
  const drawn = part(machine, `${name}-bar`);
  drawn.setAttribute("width", (Number(drawn.dataset.length) * Math.min(1, Math.max(0, share))).toFixed(1));
  part(machine, `${name}-words`).classList.toggle("over", share > 1.05);
  write(part(machine, `${name}-words`), words);
}

function showLink(drawn, link) {
  drawn.classList.toggle("bad", link.condition !== "");
  write(part(drawn, "flow"), link.condition || `${figure(link.qps)} q/s · ${percent(link.bytes_per_s / link.budget_bytes_per_s)}`);
  move(part(drawn, "edge-flow"), link.edge_qps, 0);
  move(part(drawn, "cloud-flow"), link.cloud_qps, PERIOD / 2);
}

// Dashes pass as fast as queries do: one dash a query, up to what an eye can follow.
function move(path, qps, offset) {
  path.style.opacity = qps > 0.05 ? "1" : "0";
  if (still.matches || qps <= 0.05) {
    flows.delete(path);
    return;
  }
  const flow = flows.get(path) ?? { offset };
  flow.pace = Math.min(3, Math.max(0.15, qps / 2));
  flows.set(path, flow);
}

function step() {
  if (document.hidden) return;
  for (const [path, flow] of flows) {
    flow.offset = (flow.offset - (flow.pace * PERIOD * STEP_MS) / 1000) % PERIOD;
    path.style.strokeDashoffset = flow.offset.toFixed(1);
  }
}
