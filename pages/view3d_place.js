// A place on the page that a frame fills (see view3d_together.js). It is there before the first frame and keeps its size.

const NEAR = "100px 0px"; // around what can be seen of the page

export default function (component) {
  const { data, parentElement } = component;
  const place = parentElement.querySelector(".stage-place");
  if (data.label && !place.firstChild)
    place.innerHTML = '<div class="stage-figure view2d" role="img"></div>';
  if (data.label && !place.dataset.step) place.firstChild.setAttribute("aria-label", data.label);
  const known = (window.unlearnscapeFrames ??= { places: new Map(), stages: new Set() });
  if (!place.kept) place.style.minHeight = `${data.height}px`;
  const tell = () => {
    for (const stage of known.stages) {
      if (stage.isConnected) stage.place();
      else known.stages.delete(stage);
    }
  };
  if (known.places.get(data.name) !== place) {
    known.places.set(data.name, place);
    tell();
  }
  if (!place.watcher) {
    const look = (entries) => {
      place.away = !entries.at(-1).isIntersecting;
      if (!place.away && place.classList.contains("behind")) tell();
    };
    place.watcher = new IntersectionObserver(look, { rootMargin: NEAR, scrollMargin: NEAR });
    place.watcher.observe(place);
  }
  return () =>
    setTimeout(() => {
      if (place.isConnected) return;
      place.watcher.disconnect();
      if (known.places.get(data.name) === place) known.places.delete(data.name);
      const box = place.querySelector(".stage-figure");
      if (box?.layout) window.unlearnscapeDrawing?.purge(box);
    }, 500);
}
