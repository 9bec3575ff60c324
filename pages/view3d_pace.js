// When figures are drawn, and how much of them: one in each task, so that the browser answers in between; none under the
// hand of a viewer who turns a view; and of a picture that changes all the time only what has changed.

const BREATH = 100; // milliseconds that the browser is waited for at most; it draws no frames of a page nobody sees
const REST = 200; // milliseconds after a hand has let go until figures are drawn again: Plotly takes note of the camera
const ENOUGH = 48; // points along each side of a surface that the processor draws; Plotly's own are 128 and more

// Turns ---------------------------------------------------------------------------------------------------------

// Waiting figures, the longest waiting first, each with its newest update only.
const turns = (window.unlearnscapeTurns ??= { waiting: new Map(), busy: false, turned: false, rest: null });

function drawInTurn(box, draw) {
  turns.waiting.set(box, draw);
  drawNext();
}

async function drawNext() {
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
  };
  const end = () => {
    if (!turns.turned) return;
    turns.rest ??= setTimeout(() => {
      turns.rest = null;
      turns.turned = false;
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

// The lines of the axes are made anew with every new tick, by a program that need not be made anew with them.
function keepPrograms(box) {
  for (const name of scenesOf(box.layout)) {
    const axes = box._fullLayout[name]._scene?.glplot?.axes;
    const shader = axes?._lines?.shader;
    if (!shader?._vref || axes.keepsProgram) continue;
    axes.keepsProgram = true;
    shader._vref.count += 1;
    shader._fref.count += 1;
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
