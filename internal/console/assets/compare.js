// The player of a task: one set of controls for source and output, frame steps, and a slider that shows the output over the source.
import { shortcut } from "./keys.js";

const apart = 0.06; // Seconds by which the source may be off before it is set right.
let current; // The player that shortcuts control.

/** Gives the players below an element their controls. */
function enhancePlayers(root) {
  for (const element of root.querySelectorAll("[data-player]:not([data-ready])")) enhance(element);
}

function enhance(player) {
  player.dataset.ready = "";
  const find = (selector) => player.querySelector(selector);
  const output = find("[data-video=output] video"), figure = find("[data-video=source]");
  const stage = find(".stage"), controls = find(".controls"), split = find(".split");
  const play = find("[data-play]"), seek = find(".seek"), clock = find("[data-clock]"), loop = find("[data-loop]");
  let source = find("[data-video=source] video");
  let frame = 1 / 30; // Seconds of a frame, until playing shows it.
  let last;

  controls.hidden = false;
  for (const video of [output, source]) if (video) video.controls = false;

  const length = () => (Number.isFinite(output.duration) ? output.duration : 0);
  const both = (run) => { run(output); if (source) run(source); };
  const move = (time) => both((video) => { video.currentTime = Math.min(Math.max(time, 0), video.duration || time); });

  function show() {
    seek.max = length() || 1;
    seek.value = output.currentTime;
    seek.setAttribute("aria-valuetext", `${output.currentTime.toFixed(2)} of ${length().toFixed(2)} seconds`);
    clock.textContent = `${output.currentTime.toFixed(2)} / ${length().toFixed(2)} s`;
    play.textContent = output.paused ? "Play" : "Pause";
  }

  function align() {
    if (!source || source.seeking || output.currentTime > source.duration) return;
    if (Math.abs(source.currentTime - output.currentTime) > apart) source.currentTime = output.currentTime;
  }

  function run() {
    show();
    if (output.paused) return;
    align();
    requestAnimationFrame(run);
  }

  /** Learns the length of a frame from two frames in a row. */
  function learn(now, { mediaTime, presentedFrames }) {
    const passed = last && presentedFrames === last.presentedFrames + 1 ? mediaTime - last.mediaTime : 0;
    if (passed > 1 / 130 && passed < 1 / 8) frame = passed;
    last = { mediaTime, presentedFrames };
    output.requestVideoFrameCallback(learn);
  }
  if (output.requestVideoFrameCallback) output.requestVideoFrameCallback(learn);

  function toggle() {
    if (!output.paused) {
      both((video) => video.pause());
      return;
    }
    if (output.ended) move(0);
    align();
    both((video) => video.play().catch(() => {})); // Refused for one that cannot be played; its error says so.
  }

  function step(by) {
    both((video) => video.pause());
    move(output.currentTime + by * frame);
  }

  play.addEventListener("click", toggle);
  stage.addEventListener("click", (event) => { if (event.target.matches("video")) toggle(); });
  for (const button of player.querySelectorAll("[data-step]")) button.addEventListener("click", () => step(+button.dataset.step));
  seek.addEventListener("input", () => move(+seek.value));
  output.addEventListener("play", run);
  for (const name of ["pause", "timeupdate", "seeked", "loadedmetadata"]) output.addEventListener(name, show);
  output.addEventListener("seeked", align);
  output.addEventListener("ended", () => {
    if (source) source.pause();
    if (loop.checked) toggle();
  });
  output.addEventListener("error", () => hint("The output cannot be played here. Download it to see it."));

  function hint(text) {
    const element = find("[data-player-hint]");
    element.textContent = text;
    element.hidden = false;
  }

  function mode(name) {
    player.dataset.mode = name;
    if (split) split.hidden = name !== "slider";
    if (name === "slider") shape();
  }

  /** Gives the slider the shape of the output, so that both pictures have the same place. */
  function shape() {
    if (output.videoWidth) stage.style.setProperty("--shape", `${output.videoWidth} / ${output.videoHeight}`);
  }

  if (split) {
    const place = () => {
      stage.style.setProperty("--split", `${split.value}%`);
      split.setAttribute("aria-valuetext", `Source left of ${Math.round(split.value)} percent, output right of it`);
    };
    split.addEventListener("input", place);
    place();
    for (const radio of player.querySelectorAll("[name=mode]")) radio.addEventListener("change", () => mode(radio.value));
  }
  output.addEventListener("loadedmetadata", shape);
  mode(find("[name=mode]:checked")?.value ?? "side");

  const alone = () => {
    if (!source) return;
    source = undefined;
    figure.remove();
    find(".modes")?.remove();
    mode("side");
    hint("The source cannot be shown: it is no longer kept, or this browser cannot play it.");
  };
  if (source?.error) alone();
  source?.addEventListener("error", alone);

  show();
  current = { toggle, step, player };
}

for (const [key, run] of [[",", (c) => c.step(-1)], [".", (c) => c.step(1)], ["p", (c) => c.toggle()]]) {
  shortcut(key, () => (current?.player.isConnected ? run(current) : false));
}

document.addEventListener("refract:updated", (event) => enhancePlayers(event.target));
enhancePlayers(document);
