// What the address says of a view: where its camera stands, how fast its player goes and, where the server does not see
// to that, which step it shows. The browser writes it by itself; the server keeps it as it finds it.

const DIGITS = 3; // of coordinates in the address
const FAR = 50; // a camera farther away than this shows nothing

const address = {
  get: (name) => new URLSearchParams(location.search).get(name),
  set: (name, value) => {
    const url = new URL(location.href);
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
    if (url.href !== location.href) history.replaceState(history.state, "", url);
  },
};

// "x,y,z" of the eye, then those of the point it looks at where that is not where it first was; null for no camera.
function cameraText(camera, first) {
  const three = ({ x, y, z }) => [x, y, z].map((value) => Number(value.toFixed(DIGITS)));
  const [eye, center] = [three(camera.eye), three(camera.center)];
  const moved = center.join() !== three(first.center).join();
  return !moved && eye.join() === three(first.eye).join() ? null : [...eye, ...(moved ? center : [])].join();
}

function cameraOf(text, first) {
  const numbers = (text ?? "").split(",").map((part) => (part.trim() ? Number(part) : NaN));
  const usable = numbers.every((value) => Number.isFinite(value) && Math.abs(value) <= FAR);
  if (!usable || ![3, 6].includes(numbers.length) || !Math.hypot(...numbers.slice(0, 3))) return null;
  const point = ([x, y, z]) => ({ x, y, z });
  return { ...copy(first), eye: point(numbers), ...(numbers.length === 6 ? { center: point(numbers.slice(3)) } : {}) };
}

// Keeps a parameter at what the viewer last chose: the server may write the address anew as it knew it before. What was
// never chosen here, such as the address of a bookmark, is taken over.
function keepInAddress(stage, name, value) {
  const kept = ((stage.kept ??= {})[name] ??= { now: null, before: new Set() });
  kept.before.add(value);
  kept.now = value;
  address.set(name, value);
}

function lookAtAddress(stage, name, take) {
  const kept = (stage.kept ??= {})[name];
  const now = address.get(name);
  if (!kept || now === kept.now) return;
  if (now === null || kept.before.has(now)) address.set(name, kept.now);
  else {
    keepInAddress(stage, name, now);
    take(now);
  }
}
