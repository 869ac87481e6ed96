// Small pieces that write into the page without building it anew, so that focus and layout stay.

export const byId = (id) => document.getElementById(id);

export function write(node, words) {
  if (node && node.textContent !== words) node.textContent = words;
}

export function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Children of `parent`, one for each of `items`: those with a key that is there already are kept.
export function keyed(parent, items, keyOf, build, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, position) => {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (!child) {
      child = build(item);
      child.dataset.key = key;
    }
    known.delete(key);
    fill(child, item);
    if (parent.children[position] !== child) parent.insertBefore(child, parent.children[position] ?? null);
  });
  for (const gone of known.values()) gone.remove();
}

export const figure = (value, digits = 1) => (value === null || value === undefined ? "–" : value.toFixed(digits));
export const percent = (value, digits = 0) =>
  value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`;
export const milliseconds = (seconds) =>
  seconds === null || seconds === undefined ? "–" : `${(1000 * seconds).toFixed(0)} ms`;
export const clock = (seconds) => `${seconds.toFixed(1)} s`;
export const short = (model) => (model.split("-").length > 2 ? model.slice(model.indexOf("-") + 1) : model);

// A drawing of the server, parsed as a document: nothing in it can run.
export function parsed(text) {
  const found = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return document.importNode(found, true);
}
