// Time travel over a recording: play, pause, speed, and a slider for the moment.
import { byId, clock } from "./dom.js";

export function openPlayer(about, ask, show, say) {
  const play = byId("play"), speed = byId("speed"), moment = byId("moment"), told = byId("clock");
  const end = about.end_s;
  let at = 0, stream = null, asked = 0;
  byId("player").hidden = false;
  moment.max = String(end);

  function stamp(seconds) {
    at = seconds;
    moment.value = String(seconds);
    moment.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(end)}`);
    told.textContent = `${clock(seconds)} of ${clock(end)}`;
  }
  function stop() {
    stream?.close();
    stream = null;
    play.textContent = "Play";
    say("paused");
  }
  async function still(seconds) {
    stamp(seconds);
    const mine = ++asked;
    try {
      const frame = await (await ask(`/api/frame?at=${seconds}`)).json();
      if (mine !== asked || stream) return;
      show(frame);
      say("paused");
    } catch (error) {
      say(error instanceof TypeError ? "the server gives no answer; trying again" : error.message, true);
      setTimeout(() => mine === asked && !stream && still(at), 1500);
    }
  }
  function run() {
    stream?.close();
    if (at >= end) at = 0;
    play.textContent = "Pause";
    const begin = () => {
      stream = new EventSource(`/api/events?from=${at}&speed=${speed.value}`);
      stream.onmessage = (event) => {
        const frame = JSON.parse(event.data);
        stamp(frame.at_s);
        show(frame);
        say(`playing at ${speed.value}×`);
      };
      stream.addEventListener("end", stop);
      stream.onerror = () => {  // asked anew it would begin where it began: go on from here instead
        const mine = stream;
        mine.close();
        say("the server gives no answer; trying again", true);
        setTimeout(() => stream === mine && begin(), 1500);
      };
    };
    begin();
  }
  play.addEventListener("click", () => (stream ? stop() : run()));
  speed.addEventListener("change", () => stream && run());
  moment.addEventListener("input", () => {
    if (stream) stop();
    still(Number(moment.value));
  });
  still(0).then(() => !window.matchMedia("(prefers-reduced-motion: reduce)").matches && run());
}
