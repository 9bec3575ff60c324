// A frame: the scene of a stage, and the charts and numbers in other places of the page, all of one moment. It comes in
// one message. Its charts are drawn one by one behind copies of what was there, so that no task is long; then everything
// is shown in one task. Where that takes longer than frames come, frames are left out, each of them whole. A chart that
// is far from what can be seen of the page is drawn once it comes near; until then its old lines are hidden.

const frames = (window.unlearnscapeFrames ??= { places: new Map(), stages: new Set() });

// Places announce themselves by view3d_place.js, maybe later than the frame that fills them.
function showFrame(stage, panel, data) {
  stage.place = () => {
    stage.wanted = null;
    showFrame(stage, panel, data);
  };
  frames.stages.add(stage);
  const sizes = [panel, ...data.frame.charts.map((chart) => frames.places.get(chart.place))];
  const wanted = [data.frame.id, ...sizes.map((one) => one?.clientWidth)].join();
  if (stage.wanted === wanted) return;
  stage.wanted = wanted;
  if (!panel.querySelector(".stage-figure").layout) panel.style.minHeight = `${data.height}px`;
  drawInTurn(stage, () =>
    loadPlotly(data.bundle)
      .then((Plotly) => stage.isConnected && drawFrame(Plotly, stage, panel, data))
      .catch((error) => {
        stage.wanted = null;
        say(panel, error.message);
      }),
  );
}

async function drawFrame(Plotly, stage, panel, data) {
  const { frame } = data;
  const charts = frame.charts.map((chart) => [chart, frames.places.get(chart.place)]).filter(([, place]) => place?.isConnected);
  for (const [chart, place] of charts) {
    if (await handsOff(stage)) return;
    if (place.away !== false) {
      keepRoom(place, chart);
      continue;
    }
    const shown = `${place.clientWidth} ${chart.figure}`;
    if (place.shown === shown && !place.classList.contains("covered")) continue;
    place.shown = shown;
    cover(place);
    await drawChart(Plotly, place, chart, data);
    await new Promise((resolve) => setTimeout(resolve)); // what the viewer did meanwhile is answered
  }
  if (await handsOff(stage)) return;
  // One task from here on, up to the next picture that the browser shows.
  const drawn = data.figures.map((given) => drawScene(Plotly, stage, panel, given, data));
  veil(panel, frame.veil);
  for (const [chart, place] of charts) uncover(place, chart, frame.step);
  const tiles = frames.places.get(frame.tiles.place);
  if (tiles?.isConnected) showTiles(tiles, frame);
  stage.dataset.step = frame.step;
  await Promise.all(drawn);
}

// Waits while the viewer turns a view; true where a newer frame came meanwhile, so that this one is left out.
async function handsOff(stage) {
  let waited = false;
  const held = () => document.hidden || (turns.turned && !turns.on?.closest(".covered"));
  while (held()) {
    waited = true;
    await new Promise((resolve) => turns.resumes.push(resolve));
  }
  return !stage.isConnected || (waited && turns.waiting.has(stage));
}

function drawScene(Plotly, stage, panel, given, data) {
  const box = panel.querySelector(".stage-figure");
  box.setAttribute("aria-label", given.alt);
  if (!hasWebGL()) {
    say(panel, "This browser offers no WebGL, which the 3-D view needs. The charts below show the same training.");
    return null;
  }
  const shown = `${box.clientWidth} ${data.height} ${given.figure}`;
  if (box.shown === shown && box.layout) return null;
  box.shown = shown;
  return draw(Plotly, stage, panel, given, data);
}

// A scene that is of another moment than the rest lies behind words that say why.
function veil(panel, words) {
  let over = panel.querySelector(".stage-veil");
  if (!words) {
    over?.remove();
    return;
  }
  if (!over) {
    over = document.createElement("p");
    over.className = "stage-veil";
    panel.append(over);
  }
  write(over, words);
}

// Charts --------------------------------------------------------------------------------------------------------

function drawChart(Plotly, place, given, data) {
  const box = place.querySelector(".stage-figure");
  const figure = JSON.parse(given.figure);
  const height = heightOf(figure, box.clientWidth, given.height);
  fit(figure, box.clientWidth, height);
  place.style.minHeight = `${height}px`;
  place.kept = box.clientWidth;
  return Plotly.react(box, figure.data, figure.layout, data.config);
}

// The room that a chart takes is there before it is drawn.
function keepRoom(place, given) {
  const width = place.clientWidth;
  if (place.kept === width) return;
  place.kept = width;
  place.style.minHeight = `${heightOf(JSON.parse(given.figure), width, given.height)}px`;
}

// What a chart shows goes on being seen, as a copy, while the chart itself is drawn anew. The copy stands before it, so
// that names which both use (of clipping areas) mean those of the copy.
function cover(place) {
  const box = place.querySelector(".stage-figure");
  const seen = box.querySelector(".plot-container");
  if (seen && !place.classList.contains("behind") && !place.classList.contains("covered")) {
    const copied = document.createElement("div");
    copied.className = "stage-cover js-plotly-plot";
    copied.setAttribute("aria-hidden", "true");
    copied.dataset.step = box.layout?.meta?.step ?? "";
    copied.append(seen.cloneNode(true));
    place.insertBefore(copied, box);
  }
  place.classList.add("covered");
}

function uncover(place, given, step) {
  place.querySelector(".stage-cover")?.remove();
  place.classList.remove("covered");
  place.classList.toggle("behind", place.shown !== `${place.clientWidth} ${given.figure}`);
  place.querySelector(".stage-figure").setAttribute("aria-label", given.alt);
  place.dataset.step = step;
}

// Numbers -------------------------------------------------------------------------------------------------------

function showTiles(place, frame) {
  const { tiles } = frame.tiles;
  let list = place.querySelector("dl");
  if (!list || list.children.length !== tiles.length) {
    list = document.createElement("dl");
    list.className = "stage-tiles";
    list.append(...tiles.map(makeTile));
    place.replaceChildren(list);
  }
  tiles.forEach((tile, i) => {
    const [label, value, note] = ["label", "value", "note"].map((name) => list.children[i].querySelector(`.tile-${name}`));
    write(label, tile.label);
    write(value, tile.value);
    write(note, tile.note);
    const help = list.children[i].querySelector(".tile-help");
    help.hidden = !tile.help;
    help.setAttribute("aria-label", tile.help);
    help.dataset.help = tile.help;
  });
  place.dataset.step = frame.step;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function makeTile() {
  const tile = document.createElement("div");
  tile.innerHTML =
    '<dt><span class="tile-label"></span> <button type="button" class="tile-help" hidden>?</button></dt>' +
    '<dd class="tile-value"></dd><dd class="tile-note"></dd>';
  return tile;
}
