// Scenes on paper: what WebGL has drawn is gone by the time that a page is printed, so a picture of it takes its place.

const PRINTED = "scene-on-paper";

function keepForPrint(box) {
  for (const name of Object.keys(box._fullLayout ?? {}).filter((key) => /^scene\d*$/.test(key))) {
    const scene = box._fullLayout[name]._scene;
    if (!scene?.glplot) continue;
    scene.glplot.redraw();
    const picture = new Image();
    picture.className = PRINTED;
    picture.alt = "";
    picture.src = scene.glplot.canvas.toDataURL("image/png"); // at once, before the browser clears it
    picture.style.cssText = "position: absolute; left: 0; top: 0; width: 100%; height: 100%";
    scene.container.append(picture);
  }
}

if (!window.unlearnscapePrints) {
  window.unlearnscapePrints = true;
  window.addEventListener("beforeprint", () => document.querySelectorAll(".js-plotly-plot").forEach(keepForPrint));
  window.addEventListener("afterprint", () => document.querySelectorAll(`.${PRINTED}`).forEach((one) => one.remove()));
}
