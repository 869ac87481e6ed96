// The page: asks what is shown, draws it once, and writes each frame into it.
import { openActs } from "./acts.js";
import { openPlayer } from "./player.js";
import { openPanels, showFrame } from "./panels.js";
import { drawSystem, showSystem } from "./system.js";

const narrow = window.matchMedia("(max-width: 620px)");
const layout = () => (narrow.matches ? "narrow" : "wide");
const connection = document.getElementById("connection");

history.replaceState(null, "", location.pathname); // the token stays in no address

async function ask(path) {
  const response = await fetch(path, { credentials: "same-origin" });
  if (response.ok) return response;
  const told = await response.json().catch(() => ({ error: response.statusText }));
  throw new Error(told.error);
}

function say(words, lost = false) {
  if (connection.textContent !== words) connection.textContent = words;
  connection.classList.toggle("lost", lost);
}

async function drawn(acts) {
  const picture = await (await ask(`/api/system?layout=${layout()}`)).text();
  drawSystem(document.getElementById("system"), picture, acts.choose);
  if (latest) showSystem(document.getElementById("system"), latest);
}

let latest = null;

function show(frame, acts) {
  latest = frame;
  showSystem(document.getElementById("system"), frame);
  showFrame(frame);
  acts.show(frame);
}

// A running system: frames as they come. When the server has ended, the browser asks again, and so
// do we: another server has other keys, and says so.
function follow(about, acts) {
  let stream = null;
  const open = () => {
    stream?.close();
    stream = new EventSource(`/api/events`);
    stream.onmessage = (event) => {
      say("live");
      show(JSON.parse(event.data), acts);
    };
    stream.onerror = () => {
      stream.close();
      say("the server gives no answer; trying again", true);
      setTimeout(again, 500);
    };
  };
  const again = async () => {
    try {
      const now = await (await ask("/api/about")).json();
      if (now.csrf !== about.csrf || !now.live) return location.reload();
      open();
    } catch (error) {
      const unreachable = error instanceof TypeError;
      say(unreachable ? "the server gives no answer; trying again" : error.message, true);
      setTimeout(again, 1500);
    }
  };
  open();
}

async function start() {
  const about = await (await ask("/api/about")).json();
  document.getElementById("title").textContent = about.title;
  document.title = about.title;
  openPanels(about);
  const acts = openActs(about);
  await drawn(acts);
  narrow.addEventListener("change", () => drawn(acts));
  if (about.live) follow(about, acts);
  else openPlayer(about, ask, (frame) => show(frame, acts), say);
}

start().catch((error) => say(error.message, true));
