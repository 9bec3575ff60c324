// Draws a Plotly figure in place and keeps the viewer's camera through every update.
// The bundle is Plotly's own, served by the app itself.

function loadPlotly(url) {
  if (!window.unlearnscapePlotly) {
    window.unlearnscapePlotly = new Promise((resolve, reject) => {
      if (window.Plotly) {
        resolve(window.Plotly);
        return;
      }
      const script = document.createElement("script");
      script.src = new URL(url, document.baseURI).href;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => {
        window.unlearnscapePlotly = null;
        reject(new Error("The drawing library could not be loaded; reload the page."));
      };
      document.head.appendChild(script);
    });
  }
  return window.unlearnscapePlotly;
}

function hasWebGL() {
  if (window.unlearnscapeWebGL === undefined) {
    const context = document.createElement("canvas").getContext("webgl");
    window.unlearnscapeWebGL = Boolean(context);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return window.unlearnscapeWebGL;
}

function scenesOf(layout) {
  return Object.keys(layout).filter((name) => /^scene\d*$/.test(name));
}

// One camera for all scenes of a figure: drag one and the others follow.
function linkCameras(Plotly, box) {
  if (box.linked) return;
  box.linked = true;
  const follow = (event) => {
    if (box.following || !event) return;
    const moved = Object.keys(event).find((name) => /^scene\d*\.camera$/.test(name));
    if (!moved) return;
    const others = scenesOf(box.layout).filter((name) => `${name}.camera` !== moved);
    if (others.length === 0) return;
    const update = Object.fromEntries(others.map((name) => [`${name}.camera`, event[moved]]));
    box.following = true;
    Plotly.relayout(box, update).finally(() => {
      box.following = false;
    });
  };
  box.on("plotly_relayout", follow);
  box.on("plotly_relayouting", follow);
}

export default function (component) {
  const { data, parentElement } = component;
  const box = parentElement.querySelector(".view3d");
  box.style.height = `${data.height}px`;
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", data.alt);
  const say = (text) => {
    box.innerHTML = "";
    const words = document.createElement("p");
    words.className = "view3d-words";
    words.textContent = text;
    box.appendChild(words);
  };
  if (!hasWebGL()) {
    say("This browser offers no WebGL, which the 3-D view needs. The contour view shows the same.");
    return;
  }
  if (box.shown === data.figure && box.layout) return; // nothing changed
  box.shown = data.figure;
  const turn = (box.turn = (box.turn ?? 0) + 1);
  loadPlotly(data.bundle)
    .then((Plotly) => {
      if (turn !== box.turn) return; // a newer update is under way
      const figure = JSON.parse(data.figure);
      figure.layout.height = data.height;
      figure.layout.autosize = true;
      delete figure.layout.width;
      if (box.clientWidth < 520) {
        // A phone: the colour bar would take a third of the width.
        for (const trace of figure.data) if (trace.type === "surface") trace.showscale = false;
        for (const name of scenesOf(figure.layout)) {
          const eye = figure.layout[name].camera.eye;
          for (const axis of ["x", "y", "z"]) eye[axis] *= 1.35; // a narrow screen needs distance
        }
      }
      box.querySelector(".view3d-words")?.remove();
      for (const name of scenesOf(figure.layout)) {
        // Where the viewer stands now, also in scenes that only followed.
        const camera = box._fullLayout?.[name]?.camera;
        if (camera?.eye) figure.layout[name].camera = JSON.parse(JSON.stringify(camera));
      }
      return Plotly.react(box, figure.data, figure.layout, data.config).then(() => linkCameras(Plotly, box));
    })
    .catch((error) => say(error.message));
  return () => {
    setTimeout(() => {
      if (!box.isConnected && window.Plotly) window.Plotly.purge(box); // gives the graphics context back
    }, 500);
  };
}
