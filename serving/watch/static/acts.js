// What may be done: buttons for the loop, and for the node that is chosen.
import { byId, make, write } from "./dom.js";

const NODE = [
  ["kill_node", "Kill its process"], ["stop_node", "Make it stand still"], ["resume_node", "Let it go on"],
  ["lose_device", "Take its device away"], ["restore_device", "Give its device back"],
];

export function openActs(about) {
  const offered = about.acts;
  const why = (name) => offered[name] ?? "there is no such act";
  let chosen = null, frame = null;

  async function act(body) {
    write(byId("done"), "…");
    try {
      const response = await fetch("/api/acts", {
        method: "POST",
        credentials: "same-origin",
        headers: { "content-type": "application/json", "x-testbed-watch": about.csrf },
        body: JSON.stringify(body),
      });
      const told = await response.json();
      write(byId("done"), told.done ?? told.error);
    } catch {
      write(byId("done"), "the server gives no answer; nothing was done");
    }
  }
  function button(words, name, body) {
    const made = make("button", { type: "button", "data-act": name }, words);
    made.disabled = why(name) !== "";
    if (made.disabled) made.title = why(name);
    made.addEventListener("click", () => act(body()));
    return made;
  }

  const loop = byId("loop"), pause = byId("pause"), plan = byId("plan_now");
  loop.hidden = !about.live;
  pause.disabled = why("pause") !== "";
  plan.disabled = why("plan_now") !== "";
  write(byId("loop-why"), why("pause"));
  pause.addEventListener("click", () => act({ name: frame?.loop === "paused" ? "resume" : "pause" }));
  plan.addEventListener("click", () => act({ name: "plan_now" }));

  byId("chosen-close").addEventListener("click", () => {
    byId("chosen").hidden = true;
    const machine = document.querySelector(`.machine[data-node="${CSS.escape(chosen ?? "")}"]`);
    machine?.setAttribute("aria-pressed", "false");
    machine?.focus();
    chosen = null;
  });

  function linkRow(name) {
    const link = name.split(" to ");
    const row = make("div", { class: "row", role: "group", "aria-label": `Link ${name}` }, make("span", {}, `link ${name}:`));
    row.append(
      button("Cut it", "cut_link", () => ({ name: "cut_link", link })),
      button("Carry a quarter", "slow_link", () => ({ name: "slow_link", link, factor: 4 })),
      button("As ever", "restore_link", () => ({ name: "restore_link", link })),
    );
    return row;
  }
  function loadRow(client) {
    const row = [make("span", {}, "load:")];
    for (const factor of [0, 0.5, 1, 2, 4])
      row.push(button(`× ${factor}`, "scale_load", () => ({ name: "scale_load", client, factor })));
    return row;
  }
  function choose(name) {
    chosen = name;
    byId("chosen").hidden = false;
    write(byId("chosen-title"), `Node ${name}`);
    byId("chosen-node").replaceChildren(...NODE.map(([each, words]) => button(words, each, () => ({ name: each, node: name }))));
    const links = (frame?.links ?? []).filter((link) => link.source === name);
    byId("chosen-links").replaceChildren(...links.map((link) => linkRow(link.name)));
    byId("chosen-load").replaceChildren(...(about.clients.includes(name) ? loadRow(name) : []));
    const reasons = new Set(["kill_node", ...(links.length ? ["cut_link"] : []),
      ...(about.clients.includes(name) ? ["scale_load"] : [])].map(why).filter(Boolean));
    write(byId("chosen-why"), [...reasons].join("; "));
    show(frame);
    byId("chosen-title").focus({ preventScroll: true });
    byId("chosen").scrollIntoView({ block: "nearest" });
  }
  function show(now) {
    frame = now;
    if (!now) return;
    write(byId("loop-state"), now.loop === "none" ? "no live loop here" : now.loop === "paused" ? "the live loop is paused" : "the live loop runs");
    write(pause, now.loop === "paused" ? "Go on" : "Pause");
    const node = now.nodes.find((each) => each.name === chosen);
    if (!node) return;
    const factor = now.load_factors[chosen];
    const told = [`${node.tier}, ${node.health}`, `follows plan version ${node.plan_version}`,
      `${node.waiting} wait, ${node.in_flight} under way`];
    if (node.tier === "client") told.push(`${node.arrived} queries since it started`);
    if (factor !== undefined) told.push(`load × ${factor}`);
    write(byId("chosen-words"), told.join("; "));
  }
  return { choose, show };
}
