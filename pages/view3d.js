// Draws Plotly figures in place and keeps the viewer's camera through every update. Figures whose paths carry a ghost
// get a player: the path grows and its head moves here in the browser; the server hears of the step once it is chosen.
// The bundle is Plotly's own, served by the app itself. What view3d_pace.js, view3d_address.js,
// view3d_camera.js and view3d_together.js hold stands before this.

const FINEST = 2; // pixels drawn for one of the page, along each side
const NARROW = 560; // pixels below which panels stand above each other
const WHOLE = 9; // seconds that a path takes at speed 1×
const LONGEST = 250; // milliseconds that one drawn frame moves the walk on at most
const SETTLE = 250; // milliseconds after the last key press until the server hears of the step

// The bundle that draws is remembered: Streamlit's own charts bring another one along, which takes its place as
// ``window.Plotly``, and of two bundles at one figure each forgets what listens to the other.
function loadPlotly(url) {
  window.unlearnscapePlotly ??= new Promise((resolve, reject) => {
    const found = () => resolve((window.unlearnscapeDrawing = window.Plotly));
    if (window.Plotly) {
      found();
      return;
    }
    const script = document.createElement("script");
    script.src = new URL(url, document.baseURI).href;
    script.onload = found;
    script.onerror = () => {
      window.unlearnscapePlotly = null;
      reject(new Error("The drawing library could not be loaded; reload the page."));
    };
    document.head.appendChild(script);
  });
  return window.unlearnscapePlotly;
}

function hasWebGL() {
  if (window.unlearnscapeWebGL === undefined) {
    const context = document.createElement("canvas").getContext("webgl");
    window.unlearnscapeWebGL = Boolean(context);
    // Without a graphics card the processor draws, and every pixel counts.
    const about = context?.getExtension("WEBGL_debug_renderer_info");
    const name = about ? String(context.getParameter(about.UNMASKED_RENDERER_WEBGL)) : "";
    window.unlearnscapeSlowGL = /swiftshader|llvmpipe|software|basic render/i.test(name);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return window.unlearnscapeWebGL;
}

const copy = (value) => JSON.parse(JSON.stringify(value));
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// Whether a figure has not been listened to yet; Plotly forgets its listeners when it makes a figure anew.
function isNew(box, what) {
  if (box[what] && box[what] === box._ev) return false;
  box[what] = box._ev;
  return true;
}

// Paths that grow -------------------------------------------------------------------------------------------

const KINDS = { f4: Float32Array, f8: Float64Array, i4: Int32Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array };

// The numbers of an attribute as rows, whether they came as a list or as bytes.
function rowsOf(value) {
  if (!value || value.bdata === undefined) return value;
  const bytes = Uint8Array.from(atob(value.bdata), (letter) => letter.charCodeAt(0));
  const flat = new KINDS[value.dtype](bytes.buffer);
  if (!value.shape) return flat;
  const width = Number(String(value.shape).split(",")[1]);
  if (!width) return flat;
  return Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
}

const GROWING = ["x", "y", "z", "customdata"];

// All checkpoints of every path, from its ghost; and which traces of a figure grow along them.
function readPaths(figure) {
  const whole = {};
  figure.data.forEach((trace, number) => {
    if (trace.meta?.part !== "ghost") return;
    const path = (whole[`${trace.meta.path} ${trace.scene ?? trace.xaxis ?? ""}`] = { grow: [], head: [] });
    for (const name of GROWING) if (trace[name] !== undefined) path[name] = rowsOf(trace[name]);
    path.sizes = rowsOf(trace.marker.size);
  });
  figure.data.forEach((trace, number) => {
    const path = whole[`${trace.meta?.path} ${trace.scene ?? trace.xaxis ?? ""}`];
    if (!path) return;
    if (trace.meta.part === "walked" || trace.meta.part === "halo") path.grow.push(number);
    if (trace.meta.part === "head") {
      path.head.push(number);
      path.rise = trace.meta.rise ?? 0;
    }
  });
  for (const path of Object.values(whole)) path.scale = scaleOf(figure, path);
  return Object.values(whole);
}

// Markers of the ghost are smaller than those of the walked part, by one factor.
function scaleOf(figure, path) {
  const walked = path.grow.map((number) => figure.data[number]).find((trace) => trace.meta.part === "walked");
  const first = walked && rowsOf(walked.marker.size)?.[0];
  return first ? first / path.sizes[0] : 1;
}

function nearest(path, step) {
  let best = 0;
  path.customdata.forEach((row, i) => {
    if (Math.abs(row[0] - step) < Math.abs(path.customdata[best][0] - step)) best = i;
  });
  return best;
}

// What changes in a figure when the paths are walked up to a step: {trace: {attribute: values}}.
function changesAt(paths, step) {
  const changes = new Map();
  for (const path of paths) {
    const now = nearest(path, step);
    const names = GROWING.filter((name) => path[name] !== undefined);
    for (const [numbers, from] of [
      [path.grow, 0],
      [path.head, now],
    ])
      for (const number of numbers)
        changes.set(number, Object.fromEntries(names.map((name) => [name, path[name].slice(from, now + 1)])));
    for (const number of path.head) {
      const change = changes.get(number);
      if (now === path.x.length - 1) for (const name of names) change[name] = []; // the star stands there
      else if (change.z) change.z = [change.z[0] + path.rise];
    }
    for (const number of path.grow)
      changes.get(number)["marker.size"] = Array.from(path.sizes.slice(0, now + 1), (size) => size * path.scale);
  }
  return changes;
}

function walk(Plotly, box, step) {
  if (!box.paths?.length || !box.layout) return Promise.resolve();
  const changes = changesAt(box.paths, step);
  const numbers = [...changes.keys()];
  const names = new Set(numbers.flatMap((number) => Object.keys(changes.get(number))));
  const update = {};
  for (const name of names) update[name] = numbers.map((number) => changes.get(number)[name]);
  return Plotly.restyle(box, update, numbers);
}

// The same before a figure is drawn, so that it never shows another step for a moment.
function walkFigure(figure, paths, step) {
  for (const [number, change] of changesAt(paths, step)) {
    const { "marker.size": size, ...rest } = change;
    Object.assign(figure.data[number], rest);
    if (size && figure.data[number].marker) figure.data[number].marker.size = size;
  }
}

// Layout ----------------------------------------------------------------------------------------------------

// Axes of panels that stand beside each other; those above each other stay as they are.
function besides(layout) {
  const axes = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name));
  const starts = new Set(axes.map((name) => layout[name].domain?.[0] ?? 0));
  return starts.size > 1 ? axes : axes.slice(0, 1);
}

// A phone: no colour bar, and panels above each other.
function fit(figure, width, height) {
  figure.layout.autosize = true;
  delete figure.layout.width;
  figure.layout.height = height;
  if (width >= NARROW) return;
  for (const trace of figure.data) if (trace.type === "surface" || trace.type === "contour") trace.showscale = false;
  const scenes = scenesOf(figure.layout);
  const axes = besides(figure.layout);
  const panels = scenes.length || axes.length;
  figure.layout.margin.r = 8;
  if (panels < 2) return;
  const room = scenes.length ? 0.06 : 0.1;
  const share = (1 - room * (panels - 1)) / panels;
  for (let i = 0; i < panels; i++) {
    const top = 1 - i * (share + room);
    const domain = [Math.max(0, top - share), top];
    if (scenes.length) {
      figure.layout[scenes[i]].domain = { x: [0, 1], y: domain };
    } else {
      const letter = axes[i].replace("xaxis", "");
      figure.layout[axes[i]].domain = [0, 1];
      if (i < panels - 1) figure.layout[axes[i]].title = { text: "" };
      figure.layout[`yaxis${letter}`] = { ...figure.layout[`yaxis${letter}`], domain, showticklabels: true };
    }
    const note = figure.layout.annotations?.[i];
    if (note) Object.assign(note, { x: 0.5, y: top });
  }
}

function heightOf(figure, width, height) {
  const panels = scenesOf(figure.layout).length || besides(figure.layout).length;
  return width < NARROW && panels > 1 ? Math.round(height * 0.72 * panels) : height;
}

// Choosing a point ------------------------------------------------------------------------------------------

const CLICK = 4; // pixels that the pointer moves at most in a click
const round = (value) => Number(value.toPrecision(4));

// In three dimensions Plotly speaks of a click when the button goes down; it may still become a drag.
function watchPress(box, pick) {
  if (box.press) return;
  const press = (box.press = { from: null, down: false, moved: false, point: null });
  const settle = () => {
    if (press.point && !press.down && !press.moved) pick(...press.point);
    if (!press.down) press.point = null;
  };
  press.choose = (point) => {
    press.point = point;
    settle();
  };
  box.addEventListener("pointerdown", (event) => {
    Object.assign(press, { from: [event.clientX, event.clientY], down: true, moved: false, point: null });
  }, true);
  window.addEventListener("pointermove", (event) => {
    if (press.down) press.moved ||= Math.hypot(event.clientX - press.from[0], event.clientY - press.from[1]) > CLICK;
  });
  window.addEventListener("pointerup", () => {
    press.down = false;
    settle();
  });
}

function makePickable(Plotly, box, pick) {
  watchPress(box, pick);
  if (!isNew(box, "pickable")) return;
  box.on("plotly_click", (event) => {
    const point = event.points?.[0];
    if (!point) return;
    if (point.data.scene) {
      box.press.choose([round(point.x), round(point.y)]);
      return;
    }
    let { x, y } = point;
    const axis = point.xaxis;
    if (axis?.p2d && point.data.type === "contour") {
      // Between the grid's points too: where the pointer is.
      const area = box.getBoundingClientRect();
      x = axis.p2d(event.event.clientX - area.left - axis._offset);
      y = point.yaxis.p2d(event.event.clientY - area.top - point.yaxis._offset);
    }
    pick(round(x), round(y));
  });
}

// Arrow keys move a cross over the contours, Enter chooses what lies under it.
function keyCursor(Plotly, box, key, pick) {
  const [xs, ys] = [box._fullLayout.xaxis.range, box._fullLayout.yaxis.range];
  const at = (box.cursor ??= [(xs[0] + xs[1]) / 2, (ys[0] + ys[1]) / 2]);
  if (key === "Enter") {
    pick(round(at[0]), round(at[1]));
    return true;
  }
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  if (!moves[key]) return false;
  at[0] = clamp(at[0] + (moves[key][0] * (xs[1] - xs[0])) / 50, xs[0], xs[1]);
  at[1] = clamp(at[1] + (moves[key][1] * (ys[1] - ys[0])) / 50, ys[0], ys[1]);
  const line = { width: 1.5, color: "#FFFFFF", dash: "dot" };
  const shapes = [
    { type: "line", x0: at[0], x1: at[0], yref: "paper", y0: 0, y1: 1, line },
    { type: "line", y0: at[1], y1: at[1], xref: "paper", x0: 0, x1: 1, line },
  ];
  Plotly.relayout(box, { shapes });
  return true;
}

const PLAY = "M7 4.5v15l12.5-7.5z";
const PAUSE = "M6.5 5H10v14H6.5zM14 5h3.5v14H14z";

// The player ------------------------------------------------------------------------------------------------

function makePlayer(stage, emit) {
  const element = stage.querySelector(".stage-player");
  const [range, words, speed] = ["range", "words", "speed"].map((name) => element.querySelector(`.stage-${name}`));
  const button = (name) => element.querySelector(`[data-do=${name}]`);
  const player = { at: 0, steps: [], epochs: [], playing: false, busy: false, told: null };

  player.look = () => {
    button("play").querySelector("path").setAttribute("d", player.playing ? PAUSE : PLAY);
    button("play").setAttribute("aria-label", player.playing ? "Pause" : "Play");
  };
  player.describe = () => {
    const [step, epoch] = [player.steps[player.at], player.epochs[player.at]];
    const text = epoch === null || epoch === undefined ? `step ${step}` : `step ${step}, epoch ${Number(epoch.toPrecision(3))}`;
    words.textContent = text;
    range.value = String(player.at);
    range.setAttribute("aria-valuetext", text);
    range.style.setProperty("--share", `${(100 * player.at) / Math.max(1, player.steps.length - 1)}%`);
  };
  // Draws the newest position asked for; those asked for meanwhile are passed over.
  player.show = async () => {
    player.describe();
    if (player.busy || !window.unlearnscapeDrawing) return;
    player.busy = true;
    let shown = -1;
    while (shown !== player.at) {
      shown = player.at;
      const boxes = [...stage.querySelectorAll(".stage-figure")];
      await Promise.all(boxes.map((box) => walk(window.unlearnscapeDrawing, box, player.steps[shown])));
    }
    player.busy = false;
  };
  player.tell = () => {
    clearTimeout(player.waiting);
    const step = player.steps[player.at];
    if (step === player.told) return;
    player.told = step;
    emit(step);
  };
  player.move = (at) => {
    player.at = clamp(Math.round(at), 0, player.steps.length - 1);
    player.show();
  };
  player.pause = () => {
    if (!player.playing) return;
    player.playing = false;
    player.look();
    player.tell();
  };
  player.play = () => {
    if (player.at >= player.steps.length - 1) player.move(0);
    player.playing = true;
    player.look();
    let last = performance.now();
    let position = player.at;
    const frame = (now) => {
      if (!player.playing || !stage.isConnected) return;
      if (!player.busy) {
        // Where drawing is slow the walk is slow too, rather than over before it was seen.
        position += ((Math.min(now - last, LONGEST) / 1000) * Number(speed.value) * (player.steps.length - 1)) / WHOLE;
        last = now;
      }
      if (Math.floor(position) !== player.at) player.move(Math.floor(position));
      if (player.at >= player.steps.length - 1) player.pause();
      else requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  };
  player.jump = (at) => {
    player.playing = false;
    player.look();
    player.move(at);
    player.tell();
  };
  button("first").onclick = () => player.jump(0);
  button("last").onclick = () => player.jump(player.steps.length - 1);
  button("play").onclick = () => (player.playing ? player.pause() : player.play());
  const usual = speed.value;
  player.goAt = (rate) => {
    speed.value = [...speed.options].some((option) => option.value === rate) ? rate : usual;
  };
  if (stage.addressed) player.goAt(address.get("rate"));
  speed.onchange = () => stage.addressed && keepInAddress(stage, "rate", speed.value === usual ? null : speed.value);
  range.oninput = () => {
    player.playing = false;
    player.look();
    player.move(Number(range.value));
  };
  range.onchange = () => {
    clearTimeout(player.waiting);
    player.waiting = setTimeout(player.tell, SETTLE);
  };
  // The server's word counts only when it changed its mind, never as an echo of an older position.
  player.update = (given) => {
    const same = given.steps.join() === player.steps.join();
    player.steps = given.steps;
    player.epochs = given.epochs;
    range.max = String(given.steps.length - 1);
    if (!same || (given.step !== player.said && given.step !== player.told && !player.playing)) {
      player.at = Math.max(0, given.steps.indexOf(given.step));
      player.told = given.step;
    }
    player.said = given.step;
    element.hidden = given.steps.length < 2;
    player.describe();
  };
  return player;
}

// Panels ----------------------------------------------------------------------------------------------------

const HELP3D = "3-D view. Arrow keys turn it, plus and minus zoom, 0 puts it back.";
const HELP2D = "Contour view. Arrow keys move a cross, Enter chooses the point under it.";

function makePanel() {
  const panel = document.createElement("div");
  panel.className = "stage-panel";
  panel.tabIndex = 0;
  panel.setAttribute("role", "group");
  panel.innerHTML = '<div class="stage-skeleton" aria-hidden="true">Drawing…</div><div class="stage-figure" role="img"></div>';
  return panel;
}

function say(panel, text) {
  panel.querySelector(".stage-skeleton")?.remove();
  let words = panel.querySelector(".stage-message");
  if (!words) {
    words = document.createElement("p");
    words.className = "stage-message";
    panel.prepend(words);
  }
  words.textContent = text;
}

function drawPanel(stage, panel, given, data, pick) {
  const box = panel.querySelector(".stage-figure");
  const three = given.three;
  box.classList.toggle("view3d", three);
  box.classList.toggle("view2d", !three);
  if (!data.frame) box.setAttribute("aria-label", given.alt);
  const help = three ? HELP3D : data.pickable ? HELP2D : "Chart.";
  panel.setAttribute("aria-label", help);
  panel.dataset.help = help;
  if (three && !hasWebGL() && !data.frame) {
    say(panel, "This browser offers no WebGL, which the 3-D view needs. The contour view shows the same.");
    return;
  }
  if (data.frame) {
    showFrame(stage, panel, data);
    return;
  }
  const narrow = box.clientWidth < NARROW;
  const shown = `${narrow}${data.height}${given.figure}`;
  if (box.shown === shown && box.layout) return; // nothing changed
  box.shown = shown;
  const turn = (box.turn = (box.turn ?? 0) + 1);
  if (!box.layout) panel.style.minHeight = `${data.height}px`; // nothing jumps when the picture comes
  drawInTurn(box, () =>
    loadPlotly(data.bundle)
      .then((Plotly) => turn === box.turn && box.isConnected && draw(Plotly, stage, panel, given, data))
      .catch((error) => say(panel, error.message)),
  );
}

function draw(Plotly, stage, panel, given, data) {
  const box = panel.querySelector(".stage-figure");
  const figure = JSON.parse(given.figure);
  const height = heightOf(figure, box.clientWidth, data.height);
  panel.style.minHeight = `${height}px`;
  fit(figure, box.clientWidth, height);
  fitScenes(figure, box.clientWidth);
  box.paths = stage.player && data.player ? readPaths(figure) : [];
  if (box.paths.length) walkFigure(figure, box.paths, stage.player.steps[stage.player.at]);
  panel.querySelector(".stage-skeleton")?.remove();
  panel.querySelector(".stage-message")?.remove();
  const scenes = scenesOf(figure.layout);
  if (scenes.length) stage.firstCamera ??= box.firstCamera ??= copy(figure.layout[scenes[0]].camera);
  const linked = stage.addressed && scenes.length ? cameraOf(address.get("cam"), stage.firstCamera) : null;
  const stands = stage.querySelector(".view3d.js-plotly-plot:not(.leaving)");
  for (const name of scenes) {
    // Where the viewer stands now, also in scenes that only followed.
    const camera = box._fullLayout?.[name]?.camera ?? stands?._fullLayout?.scene?.camera ?? leftAt(data.key) ?? linked;
    if (camera?.eye) figure.layout[name].camera = copy(camera);
  }
  box.cursor = null;
  if (data.moving && given.three) keepPlace(box, figure.layout, box.clientWidth < NARROW);
  if (data.moving) box.surfaces = JSON.stringify(figure.data.filter((trace) => trace.type === "surface"));
  const finest = data.moving || window.unlearnscapeSlowGL ? clamp(window.devicePixelRatio, 1, FINEST) : FINEST;
  return Plotly.react(box, figure.data, figure.layout, { ...data.config, plotGlPixelRatio: finest }).then(() => {
    if (given.three) linkCameras(Plotly, stage, box);
    if (given.three && (data.moving || window.unlearnscapeSlowGL)) readUnderPointerOnly(box);
    if (given.three && data.moving) {
      keepSurfaces(box);
      keepLines(box);
      drawNextFrame(box);
    }
    if (data.pickable) makePickable(Plotly, box, stage.pick);
    if (stage.player && data.player) stage.player.show();
  });
}

function listenToKeys(stage, panel) {
  panel.addEventListener("keydown", (event) => {
    if (event.target !== panel || event.ctrlKey || event.metaKey || event.altKey || !window.unlearnscapeDrawing) return;
    const box = panel.querySelector(".stage-figure");
    if (!box.layout) return;
    const three = box.classList.contains("view3d");
    const done = three
      ? keyCamera(window.unlearnscapeDrawing, stage, box, event.key)
      : stage.pickable && keyCursor(window.unlearnscapeDrawing, box, event.key, stage.pick);
    if (done) event.preventDefault();
  });
}

// Figures bring their colours along: where the viewer changes the theme, the server is asked for others.
const DAYLIGHT = 1000; // milliseconds between two looks

function watchTheme(stage, tell) {
  clearInterval(stage.daylight);
  stage.daylight = setInterval(() => {
    const drawn = stage.querySelector(".js-plotly-plot")?.layout?.meta?.dark;
    const now = isDark(getComputedStyle(stage).getPropertyValue("--st-background-color"));
    if (drawn === undefined || now === null || now === drawn) stage.asked = null;
    else if (stage.asked !== now && !document.hidden) tell((stage.asked = now));
    if (stage.addressed) followAddress(stage);
  }, DAYLIGHT);
}

function followAddress(stage) {
  lookAtAddress(stage, "cam", (text) => {
    const camera = stage.firstCamera && (cameraOf(text, stage.firstCamera) ?? stage.firstCamera);
    if (camera && window.unlearnscapeDrawing) setCamera(window.unlearnscapeDrawing, stage, camera);
  });
  lookAtAddress(stage, "rate", (text) => stage.player?.goAt(text));
}

// Whether a ground, such as "#0e1117", is dark; null for what is no such colour.
function isDark(ground) {
  const [, red, green, blue] = /^#(..)(..)(..)/.exec(ground.trim()) ?? [];
  if (blue === undefined) return null;
  const light = [red, green, blue].map((part) => parseInt(part, 16));
  return 0.299 * light[0] + 0.587 * light[1] + 0.114 * light[2] < 128;
}

export default function (component) {
  const { data, parentElement, setStateValue, setTriggerValue } = component;
  const stage = parentElement.querySelector(".stage");
  const panels = stage.querySelector(".stage-panels");
  stage.addressed = data.addressed;
  stage.emit = (step) => data.tells && setStateValue("step", step);
  stage.pick = (x, y) => data.pickable && setTriggerValue("picked", [x, y]);
  stage.pickable = data.pickable;
  if (data.player) {
    stage.player ??= makePlayer(stage, (step) => stage.emit(step));
    stage.player.update(data.player);
  } else {
    stage.querySelector(".stage-player").hidden = true;
  }
  watchHands();
  watchTheme(stage, (dark) => setTriggerValue("themed", dark));
  panels.style.setProperty("--least", `${data.least}px`);
  // A panel stays what it is, so that the camera of a 3-D view lives through the coming and going of others.
  const kinds = data.figures.map((given) => (given.three ? "three" : "two"));
  const before = [...panels.children];
  const now = kinds.map((kind) => {
    const i = before.findIndex((panel) => panel.dataset.kind === kind);
    if (i >= 0) return before.splice(i, 1)[0];
    const panel = makePanel();
    panel.dataset.kind = kind;
    listenToKeys(stage, panel);
    return panel;
  });
  for (const panel of before) {
    if (window.unlearnscapeDrawing) window.unlearnscapeDrawing.purge(panel.querySelector(".stage-figure"));
    panel.remove();
  }
  now.forEach((panel, i) => {
    if (panels.children[i] !== panel) panels.insertBefore(panel, panels.children[i] ?? null);
  });
  now.forEach((panel, i) => drawPanel(stage, panel, data.figures[i], data, stage.pick));
  if (!stage.watcher) {
    let width = stage.clientWidth;
    stage.watcher = new ResizeObserver(() => {
      if (Math.abs(stage.clientWidth - width) < 2) return;
      width = stage.clientWidth;
      stage.redraw?.();
    });
    stage.watcher.observe(stage);
  }
  stage.redraw = () =>
    now.forEach((panel, i) => {
      const box = panel.querySelector(".stage-figure");
      drawPanel(stage, panel, data.figures[i], data, stage.pick);
      const shown = box.layout && box.isConnected && box.getClientRects().length; // Plotly refuses a hidden one
      if (shown && window.unlearnscapeDrawing) window.unlearnscapeDrawing.Plots.resize(box).catch(() => {});
    });
  return () => {
    const camera = stage.querySelector(".view3d.js-plotly-plot")?._fullLayout?.scene?.camera;
    if (camera?.eye) left.set(data.key, [copy(camera), performance.now()]);
    setTimeout(() => {
      if (stage.isConnected || !window.unlearnscapeDrawing) return;
      stage.watcher?.disconnect();
      clearInterval(stage.daylight);
      for (const box of stage.querySelectorAll(".stage-figure")) window.unlearnscapeDrawing.purge(box); // gives graphics contexts back
    }, 500);
  };
}
