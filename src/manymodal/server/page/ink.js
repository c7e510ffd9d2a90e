// A drawing as strokes: where it sits in its picture, how it is painted, and the way the pen went.
//
// A stroke is {points: [[x, y], ...], width, erase}, in shares of the canvas' side, y down; the canvas is one em.
// The frame is that of the glyph collection (`manymodal.demo.frame`), so that a sketch meets printed glyphs on equal
// terms; for any other collection it is a square around the ink with a margin, which is what is wanted there too.

const FIT = 0.75; // how far the frame goes from the em (0) to the ink (1)
const MARGIN = 1.1; // the frame's side over the ink's longest side
const MIDDLE = -0.365; // the middle of a capital letter, from the baseline

/** Pens, as shares of the picture's side: the middle one is as wide as the lines of printed symbols. */
export const PENS = { thin: 0.03, medium: 0.06, thick: 0.11 };

const inked = (strokes) => strokes.filter((stroke) => !stroke.erase).flatMap((stroke) => stroke.points);

/** The square {x, y, side} of the canvas that becomes the picture. */
export function frameOf(strokes) {
  const points = inked(strokes);
  const [xs, ys] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const longest = Math.max(right - left, bottom - top, 1e-3);
  const side = MARGIN * Math.max(longest ** FIT, longest);
  const room = side / MARGIN / 2;
  const baseline = 0.5 - MIDDLE; // the canvas' middle is the middle of a capital
  const wanted = (1 - FIT) * MIDDLE + (FIT * (top + bottom - 2 * baseline)) / 2 + baseline;
  return { x: (left + right) / 2, y: Math.min(Math.max(wanted, bottom - room), top + room), side };
}

/** Paints strokes on a square context: as they lie, or (`trim`) in their frame with pens of an unchanged width. */
export function paint(context, strokes, { trim = false, inverted = false } = {}) {
  const size = context.canvas.width;
  const [ink, paper] = inverted ? ["#fff", "#000"] : ["#000", "#fff"];
  context.fillStyle = paper;
  context.fillRect(0, 0, size, size);
  if (!inked(strokes).length) return;
  const frame = trim ? frameOf(strokes) : { x: 0.5, y: 0.5, side: 1 };
  const inner = trim ? 1 - PENS.medium : 1; // the frame is around the middle of the pen's way: leave room for its edges
  const at = ([x, y]) => [x - frame.x, y - frame.y].map((from) => (from / frame.side) * inner * size + size / 2);
  context.lineCap = context.lineJoin = "round";
  for (const { points, width, erase } of strokes) {
    context.strokeStyle = erase ? paper : ink;
    // A rubber takes away what it covered; a pen is as wide in the picture as it is meant to be.
    context.lineWidth = size * (erase ? (width / frame.side) * inner : width);
    context.beginPath();
    context.moveTo(...at(points[0]));
    for (const point of points.length > 1 ? points.slice(1) : points) context.lineTo(...at(point));
    context.stroke();
  }
}

/** The drawing as a PNG of `size` pixels. */
export function toPicture(strokes, options, size = 192) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  paint(canvas.getContext("2d"), strokes, options);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** The pen's way in the frame: about `steps` rows [x, y, pen], pen being 1 where it came drawing, else 0. */
export function toPath(strokes, steps = 64) {
  const ways = strokes.filter((stroke) => !stroke.erase).map((stroke) => stroke.points);
  const frame = frameOf(strokes);
  const lengths = ways.map(lengthOf);
  const total = lengths.reduce((sum, length) => sum + length, 0) || 1;
  const spare = Math.max(steps - ways.length, 0);
  return ways.flatMap((way, number) => {
    const count = 1 + Math.floor((spare * lengths[number]) / total);
    return walk(way, count).map(([x, y], step) => [
      (x - frame.x) / frame.side + 0.5,
      (y - frame.y) / frame.side + 0.5,
      step > 0 ? 1 : 0,
    ]);
  });
}

const lengthOf = (way) => way.slice(1).reduce((sum, [x, y], i) => sum + Math.hypot(x - way[i][0], y - way[i][1]), 0);

/** `count` points at equal steps along a way, its ends among them. */
function walk(way, count) {
  const step = count > 1 ? lengthOf(way) / (count - 1) : 0;
  const found = [way[0]];
  let [gone, i] = [0, 1];
  while (found.length < count) {
    const wanted = found.length * step;
    let length = 0;
    while (i < way.length) {
      length = Math.hypot(way[i][0] - way[i - 1][0], way[i][1] - way[i - 1][1]);
      if (gone + length >= wanted) break;
      gone += length;
      i += 1;
    }
    if (i >= way.length) found.push(way[way.length - 1]);
    else {
      const share = length ? (wanted - gone) / length : 0;
      found.push([0, 1].map((axis) => way[i - 1][axis] + share * (way[i][axis] - way[i - 1][axis])));
    }
  }
  return found;
}
