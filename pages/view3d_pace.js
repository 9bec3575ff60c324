// When figures are drawn, and how much of them: one in each task, so that the browser answers in between; none under the
// hand of a viewer who turns a view; and of a picture that changes all the time only what has changed.

const BREATH = 100; // milliseconds that the browser is waited for at most; it draws no frames of a page nobody sees
const REST = 200; // milliseconds after a hand has let go until figures are drawn again: Plotly takes note of the camera
const ENOUGH = 48; // points along each side of a surface that the processor draws; Plotly's own are 128 and more
const BAR = 80; // pixels right of a scene, enough for the numbers at most colour bars

// Turns ---------------------------------------------------------------------------------------------------------

// Waiting figures, the longest waiting first, each with its newest update only; and frames that wait half drawn.
const turns = (window.unlearnscapeTurns ??= {
  waiting: new Map(),
  resumes: [],
  busy: false,
  turned: false,
  on: null, // what the hand is on
  rest: null,
  note: null,
});

function drawInTurn(box, draw) {
  turns.waiting.set(box, draw);
  drawNext();
}

async function drawNext() {
  for (const resume of turns.resumes.splice(0)) resume();
  if (turns.busy) return;
  turns.busy = true;
  while (turns.waiting.size && !turns.turned && !document.hidden) {
    const [box, draw] = turns.waiting.entries().next().value;
    turns.waiting.delete(box);
    await draw();
    await breath();
  }
  turns.busy = false;
}

// What the viewer did meanwhile is answered, and the next frame shown.
function breath() {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, BREATH);
    requestAnimationFrame(() => {
      clearTimeout(late);
      setTimeout(resolve);
    });
  });
}

function watchHands() {
  if (turns.watching) return;
  turns.watching = true;
  const begin = (event) => {
    if (!(event.target instanceof Element && event.target.closest(".stage-figure"))) return;
    clearTimeout(turns.rest);
    turns.rest = null;
    turns.turned = true;
    turns.on = event.target;
  };
  const end = () => {
    if (!turns.turned) return;
    turns.rest ??= setTimeout(() => {
      turns.rest = null;
      turns.turned = false;
      turns.note?.(); // where it was let go outside of the scene, Plotly has not seen it
      turns.note = null;
      drawNext();
    }, REST);
  };
  const listen = (name, react) => window.addEventListener(name, react, { capture: true, passive: true });
  listen("pointerdown", begin);
  listen("pointermove", (event) => event.buttons === 0 && end()); // also where it was let go outside
  for (const name of ["pointerup", "pointercancel", "blur"]) listen(name, end);
  listen("wheel", (event) => {
    begin(event);
    end();
  });
  document.addEventListener("visibilitychange", drawNext);
}

// Less drawing --------------------------------------------------------------------------------------------------

function scenesOf(layout) {
  return Object.keys(layout).filter((name) => /^scene\d*$/.test(name));
}

// To know what lies under the pointer Plotly draws everything a second time and waits until it can be read back. A
// picture that changes all the time does so only while a pointer rests on it.
function readUnderPointerOnly(box) {
  for (const name of scenesOf(box.layout)) {
    const plot = box._fullLayout[name]._scene?.glplot;
    if (!plot) continue;
    for (const object of plot.objects) {
      if (!object.drawPick || object.picksLess) continue;
      object.picksLess = true;
      const pick = object.drawPick.bind(object);
      object.drawPick = (...given) => box.pointed && pick(...given);
    }
    if (plot.readsLess) continue;
    plot.readsLess = true;
    // Another such question: the answer waits until all is drawn, and Plotly asks it of a buffer that it keeps itself.
    plot.gl.isBuffer = (buffer) => buffer instanceof WebGLBuffer;
    const read = plot.gl.readPixels.bind(plot.gl);
    plot.gl.readPixels = (...given) => {
      if (box.pointed) read(...given);
    };
  }
  if (box.pointed !== undefined) return;
  box.pointed = false;
  const point = (here) => {
    const came = here && !box.pointed;
    box.pointed = here;
    if (came) for (const name of scenesOf(box.layout)) box._fullLayout[name]._scene?.glplot.update();
  };
  box.addEventListener("pointermove", (event) => point(event.buttons === 0));
  box.addEventListener("pointerleave", () => point(false));
}

// The lines of the axes are thrown away and made anew with every new tick, with a program of their own that the browser
// waits for until all that was asked of the graphics before is done. They can as well take in other corners. Where Plotly
// lays them out in another way than here, they are left alone.
const CORNERS = [[0, 1], [1, 1], [0, -1], [0, -1], [1, 1], [1, -1]]; // of a line as two triangles: along it, across it

function linesAt(ticks) {
  const points = [];
  const places = { tickOffset: [], tickCount: [], gridOffset: [], gridCount: [] };
  const add = (at) => CORNERS.forEach(([along, across]) => points.push(at, along, across));
  add(0);
  for (const marks of ticks)
    for (const kind of ["tick", "grid"]) {
      places[`${kind}Offset`].push(points.length / 3);
      places[`${kind}Count`].push(CORNERS.length * marks.length);
      for (const mark of marks) add(Number(mark.x));
    }
  return { points: new Float32Array(points), places };
}

function keepLines(box) {
  for (const name of scenesOf(box.layout)) {
    const axes = box._fullLayout[name]._scene?.glplot?.axes;
    const lines = axes?._lines;
    if (!lines?.vertBuffer || axes.keepsLines) continue;
    const { points, places } = linesAt(axes.ticks);
    const same = Object.keys(places).every((key) => lines[key]?.join() === places[key].join());
    if (!same || lines.vertBuffer.length !== points.byteLength) continue;
    axes.keepsLines = true;
    lines.dispose = () => {
      const next = linesAt(axes.ticks);
      lines.vertBuffer.update(next.points);
      Object.assign(lines, next.places);
    };
    Object.defineProperty(axes, "_lines", { get: () => lines, set: () => {} });
  }
}

// A scene keeps its size: other numbers at the colour bar would change it by some pixels, and the browser would have to
// wait until the graphics memory was given out anew.
function keepPlace(box, layout, narrow) {
  const margin = layout.margin;
  if (!narrow) margin.r = Math.max(margin.r, BAR);
  const place = `${box.clientWidth} ${layout.height} ${scenesOf(layout).length}`;
  const taken = box.place === place ? box._fullLayout?._size : null;
  for (const side of ["l", "r", "t", "b"]) margin[side] = Math.max(margin[side], taken?.[side] ?? 0);
  box.place = place;
}

// Plotly draws as soon as it has taken in what is new, in the same task. The next frame would do so anyway.
function drawNextFrame(box) {
  for (const name of scenesOf(box.layout)) {
    const scene = box._fullLayout[name]._scene;
    if (!scene?.glplot || scene.waits) continue;
    scene.waits = true;
    const plot = scene.plot.bind(scene);
    scene.plot = (...given) => {
      const { glplot } = scene;
      const redraw = glplot.redraw;
      glplot.redraw = glplot.update;
      try {
        plot(...given);
      } finally {
        glplot.redraw = redraw;
      }
    };
  }
}

// A surface stays as it is while only the paths on it change, and its mesh is no finer than the processor can draw.
function keepSurfaces(box) {
  for (const name of scenesOf(box.layout)) {
    const scene = box._fullLayout[name]._scene;
    for (const trace of Object.values(scene?.traces ?? {})) {
      if (trace.data.type !== "surface" || trace.kept) continue;
      const update = trace.update.bind(trace);
      const looks = () => `${box.surfaces} ${scene.dataScale}`;
      if (window.unlearnscapeSlowGL) {
        trace.estimateScale = (count) => Math.max(1, Math.ceil(ENOUGH / count));
        update(trace.data);
      }
      trace.kept = looks();
      trace.update = (data) => {
        if (trace.kept === looks()) {
          trace.data = data;
          return;
        }
        update(data);
        trace.kept = looks();
      };
    }
  }
}
