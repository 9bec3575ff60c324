// Cameras: one for all scenes of a view. It stays where the viewer has put it, whoever notices that they let go.

const TURN = Math.PI / 36; // radians a key press turns the camera
const ZOOM = 1.12;
const STILL = 3; // frames without a move after which nothing follows any more

// Boxes of scenes are as large as their panels let them be, with room for numbers at both sides; the camera is left
// alone, for it is the same in panels of all shapes and stays when they come and go.
const BOX = { x: 1.15, y: 1.15, z: 0.72 };
const ACROSS = 0.455; // from the middle of such a box to its corner at the side, in heights of its panel
const NUMBERS = 44; // pixels beside that corner
const BAR_ROOM = 84; // pixels of a colour bar
const TITLED = 420; // pixels: in a narrower panel the name of the heights stands above the scene, not beside it

function fitScenes(figure, width) {
  const { layout } = figure;
  const margin = { l: 0, r: 0, t: 0, b: 0, ...layout.margin };
  const bar = figure.data.some((trace) => trace.type === "surface" && trace.showscale !== false) ? BAR_ROOM : 0;
  for (const name of scenesOf(layout)) {
    const scene = layout[name];
    const [left, right] = scene.domain?.x ?? [0, 1];
    const [bottom, top] = scene.domain?.y ?? [0, 1];
    const wide = (width - margin.l - margin.r - bar) * (right - left);
    const tall = (layout.height - margin.t - margin.b) * (top - bottom);
    const share = clamp((wide / 2 - NUMBERS) / (ACROSS * tall), 0.3, 1);
    scene.aspectratio = Object.fromEntries(Object.entries(BOX).map(([axis, side]) => [axis, side * share]));
    const text = scene.zaxis?.title?.text;
    if (wide >= TITLED || !text) continue;
    scene.zaxis.title = { text: "" };
    const place = { x: left, y: top, xref: "paper", yref: "paper", xanchor: "left", yanchor: "top", showarrow: false };
    layout.annotations = [...(layout.annotations ?? []), { ...place, text: `↑ ${text}`, font: { size: 13 } }];
  }
}

// One camera for all scenes: drag one and the others follow, in this figure and in those beside it. While a drag goes
// on only the others are moved: a relayout would set the dragged scene back to where its layout still is.
function linkCameras(Plotly, stage, box) {
  if (!isNew(box, "linked")) return;
  const movedScene = (event) => Object.keys(event ?? {}).find((name) => /^scene\d*\.camera$/.test(name));
  box.on("plotly_relayouting", (event) => {
    const moved = movedScene(event)?.split(".")[0];
    if (!moved) return;
    lead(stage, box, moved);
    turns.note = () => {
      const camera = cameraNow(box, moved);
      if (camera && stage.isConnected) setCamera(Plotly, stage, camera);
    };
  });
  box.on("plotly_relayout", (event) => {
    const moved = movedScene(event);
    if (!moved || stage.following) return;
    const name = moved.split(".")[0];
    turns.note = null; // Plotly itself has seen the hand let go, and notes it in the layout that the figure began with
    box.layout[name].camera = copy(event[moved]);
    setCamera(Plotly, stage, event[moved], box, name);
  });
}

function cameraNow(box, name) {
  const scene = box._fullLayout?.[name]?._scene;
  return scene?.glplot ? scene.getCamera() : undefined;
}

// Plotly speaks of a move before it has made it: the others look at where it stands in the frames after that.
function lead(stage, box, name) {
  stage.leader = [box, name];
  if (stage.leads) return;
  stage.leads = true;
  let before = null;
  let still = 0;
  const look = () => {
    const camera = cameraNow(...stage.leader);
    const now = JSON.stringify(camera);
    still = now === before ? still + 1 : 0;
    before = now;
    if (!camera || still > STILL || !stage.isConnected) {
      stage.leads = false;
      return;
    }
    if (!still) aimOthers(stage, camera, ...stage.leader);
    requestAnimationFrame(look);
  };
  look();
}

// A view that the server builds anew in another place of the page stands where the one before it stood.
const left = new Map(); // {key of a view: [its camera, when it went]}
const HANDOVER = 4000; // milliseconds

function leftAt(key) {
  const [camera, when] = left.get(key) ?? [];
  return when && performance.now() - when < HANDOVER ? camera : undefined;
}

function aimOthers(stage, camera, but, scene) {
  for (const box of stage.querySelectorAll(".view3d"))
    for (const name of box.layout ? scenesOf(box.layout) : [])
      if (box !== but || name !== scene)
        box._fullLayout[name]._scene?.setViewport({ ...box._fullLayout[name], camera: copy(camera) });
}

function setCamera(Plotly, stage, camera, but = null, scene = "") {
  const updates = [];
  for (const box of stage.querySelectorAll(".view3d")) {
    if (!box.layout) continue;
    const names = scenesOf(box.layout).filter((name) => box !== but || name !== scene);
    const update = Object.fromEntries(names.map((name) => [`${name}.camera`, copy(camera)]));
    if (names.length) updates.push(Plotly.relayout(box, update));
  }
  if (stage.addressed && stage.firstCamera) keepInAddress(stage, "cam", cameraText(camera, stage.firstCamera));
  stage.following = true;
  Promise.all(updates).finally(() => {
    stage.following = false;
  });
}

// Arrow keys turn the camera about the middle, + and − bring it nearer and farther, 0 puts it back.
function keyCamera(Plotly, stage, box, key) {
  const name = scenesOf(box.layout)[0];
  const camera = copy(box._fullLayout[name].camera);
  if (key === "0") {
    setCamera(Plotly, stage, box.firstCamera);
    return true;
  }
  const { x, y, z } = camera.eye;
  let away = Math.hypot(x, y, z);
  let around = Math.atan2(y, x);
  let up = Math.asin(clamp(z / away, -1, 1));
  if (key === "ArrowLeft") around -= TURN;
  else if (key === "ArrowRight") around += TURN;
  else if (key === "ArrowUp") up = clamp(up + TURN, -1.5, 1.5);
  else if (key === "ArrowDown") up = clamp(up - TURN, -1.5, 1.5);
  else if (key === "+" || key === "=") away /= ZOOM;
  else if (key === "-" || key === "−") away *= ZOOM;
  else return false;
  camera.eye = {
    x: away * Math.cos(up) * Math.cos(around),
    y: away * Math.cos(up) * Math.sin(around),
    z: away * Math.sin(up),
  };
  setCamera(Plotly, stage, camera);
  return true;
}
