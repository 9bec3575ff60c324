"use strict";
// Plays the film of the page: a frame cuts every line after the points that its run has reached.
const film = JSON.parse(document.getElementById("film").textContent);
const at = (id) => document.getElementById(id);
const stages = ["w", "n"]; // the wide one and the narrow one; a screen shows one of them
const points = (id) => at(id).getAttribute("points").split(" ").filter(Boolean);
const lines = film.runs.map((run, n) => stages.map((stage) => ({
  key: stage + n, path: points("p" + stage + n), curve: points("c" + stage + n),
})));
const slider = at("frame"), button = at("play"), last = film.moments.length - 1;
const PACE = 90; // milliseconds a frame
let timer = 0;

function cut(points, count, ids, head) {
  const shown = points.slice(0, count);
  for (const id of ids) at(id).setAttribute("points", shown.join(" "));
  at(head).setAttribute("transform", "translate(" + (shown.length ? shown[shown.length - 1] : "-99,-99") + ")");
}

function show(frame) {
  slider.value = frame;
  slider.setAttribute("aria-valuetext", film.moments[frame]);
  at("moment").textContent = film.moments[frame];
  film.runs.forEach((run, n) => {
    for (const { key, path, curve } of lines[n]) {
      cut(path, run.path[frame], ["h" + key, "p" + key], "ph" + key);
      cut(curve, run.curve[frame], ["c" + key], "ch" + key);
    }
    at("w" + n).textContent = run.words[frame];
  });
}

function pause() {
  clearInterval(timer);
  timer = 0;
  button.textContent = "Play";
}

function play() {
  if (Number(slider.value) >= last) show(0);
  button.textContent = "Pause";
  timer = setInterval(() => {
    const next = Number(slider.value) + 1;
    show(Math.min(next, last));
    if (next >= last) pause();
  }, PACE);
}

button.addEventListener("click", () => (timer ? pause() : play()));
slider.addEventListener("input", () => { pause(); show(Number(slider.value)); });
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target === button) return;
  event.preventDefault();
  timer ? pause() : play();
});
show(last);
if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play();
