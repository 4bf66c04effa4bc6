// Where the accounts of a network are drawn: attraction along ties, repulsion between all, a pull to the middle. What is
// not tied to each other is laid out by itself and set side by side, so that strays push nobody together.
// Fruchterman & Reingold (1991) with linear cooling. No chance in it and no clock: the same network is the same picture.

const ROUNDS = 260;
const GAP = 0.7; // Between parts, in units of the ideal distance.
const WIDE = 1.5; // A shelf is wider than all is high, as frames are.
const GOLDEN = Math.PI * (3 - Math.sqrt(5));

/**
 * Places of nodes, in steps of one round each, so that the caller can pause between them.
 * @param {number} count nodes
 * @param {{a: number, b: number, weight: number}[]} ties ends as places among the nodes; weights about 0 to 1
 * @yields {{x: Float64Array, y: Float64Array}} the same two arrays each time, in units of the ideal distance
 */
export function* layout(count, ties) {
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  const boxes = [];
  for (const nodes of components(count, ties)) {
    const at = new Map(nodes.map((node, n) => [node, n]));
    const within = ties.filter((tie) => at.has(tie.a)).map(({ a, b, weight }) => ({ a: at.get(a), b: at.get(b), weight }));
    let part = { x: new Float64Array(1), y: new Float64Array(1) };
    if (nodes.length > 1) {
      for (part of forces(nodes.length, within)) yield { x, y };
    }
    boxes.push({ nodes, ...part });
  }
  pack(boxes, x, y);
  yield { x, y };
}

/** Nodes that are tied to each other, directly or not: lists of places, the largest first, those equal by their first. */
export function components(count, ties) {
  const root = Array.from({ length: count }, (_, n) => n);
  const find = (n) => {
    while (root[n] !== n) n = root[n] = root[root[n]];
    return n;
  };
  for (const { a, b } of ties) {
    const [one, other] = [find(a), find(b)];
    root[Math.max(one, other)] = Math.min(one, other);
  }
  const parts = new Map();
  for (let n = 0; n < count; n++) {
    const at = find(n);
    if (!parts.has(at)) parts.set(at, []);
    parts.get(at).push(n);
  }
  return [...parts.values()].sort((p, q) => q.length - p.length || p[0] - q[0]);
}

/** Set parts side by side, the largest first, in shelves about as wide as the largest; writes into x and y. */
function pack(boxes, x, y) {
  const sizes = boxes.map((box) => {
    const [left, top] = [Math.min(...box.x), Math.min(...box.y)];
    return { left, top, wide: Math.max(...box.x) - left + GAP, tall: Math.max(...box.y) - top + GAP };
  });
  const area = sizes.reduce((sum, { wide, tall }) => sum + wide * tall, 0);
  const shelf = Math.max(sizes[0]?.wide ?? 0, WIDE * Math.sqrt(area));
  let [across, down, tallest] = [0, 0, 0];
  boxes.forEach((box, place) => {
    const { left, top, wide, tall } = sizes[place];
    if (across > 0 && across + wide > shelf) [across, down, tallest] = [0, down + tallest, 0];
    box.nodes.forEach((node, n) => {
      x[node] = across + box.x[n] - left;
      y[node] = down + box.y[n] - top;
    });
    across += wide;
    tallest = Math.max(tallest, tall);
  });
}

/** Places of nodes that are all tied to each other, in steps. */
function* forces(count, ties) {
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  const fx = new Float64Array(count);
  const fy = new Float64Array(count);
  // A sunflower: evenly spread, and no two at one place.
  for (let n = 0; n < count; n++) {
    const radius = 0.6 * Math.sqrt(n + 0.5);
    x[n] = radius * Math.cos(n * GOLDEN);
    y[n] = radius * Math.sin(n * GOLDEN);
  }
  const rounds = count > 400 ? ROUNDS / 2 : ROUNDS;
  const pull = 0.06 + 0.5 / Math.sqrt(count + 1);
  for (let round = 0; round < rounds; round++) {
    fx.fill(0);
    fy.fill(0);
    for (let n = 0; n < count; n++) {
      for (let m = n + 1; m < count; m++) {
        const dx = x[n] - x[m];
        const dy = y[n] - y[m];
        const push = 1 / (dx * dx + dy * dy + 0.01);
        fx[n] += dx * push;
        fy[n] += dy * push;
        fx[m] -= dx * push;
        fy[m] -= dy * push;
      }
      fx[n] -= x[n] * pull;
      fy[n] -= y[n] * pull;
    }
    for (const { a, b, weight } of ties) {
      const dx = x[a] - x[b];
      const dy = y[a] - y[b];
      const draw = weight * Math.sqrt(dx * dx + dy * dy);
      fx[a] -= dx * draw;
      fy[a] -= dy * draw;
      fx[b] += dx * draw;
      fy[b] += dy * draw;
    }
    const heat = 0.9 * (1 - round / rounds) + 0.01;
    for (let n = 0; n < count; n++) {
      const force = Math.hypot(fx[n], fy[n]) || 1;
      const step = Math.min(force, heat) / force;
      x[n] += fx[n] * step;
      y[n] += fy[n] * step;
    }
    yield { x, y };
  }
  lie(x, y);
  yield { x, y };
}

/** Turn the picture so that its longer side lies level: frames are wider than high. */
function lie(x, y) {
  let [xx, xy, yy] = [0, 0, 0];
  for (let n = 0; n < x.length; n++) {
    xx += x[n] * x[n];
    xy += x[n] * y[n];
    yy += y[n] * y[n];
  }
  const angle = Math.atan2(2 * xy, xx - yy) / 2;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  for (let n = 0; n < x.length; n++) [x[n], y[n]] = [x[n] * cos + y[n] * sin, y[n] * cos - x[n] * sin];
}

/** Run a generator in slices that leave the page free to answer; its last value. */
export async function sliced(steps, sliceMs = 12) {
  let last;
  for (;;) {
    const end = performance.now() + sliceMs;
    while (performance.now() < end) {
      const { done, value } = steps.next();
      if (done) return last;
      last = value;
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
}
