// The picture of who is tied to whom: point, drag, zoom, filter by kind; arrows go from account to account.
import { counted, h, s } from "./dom.js";
import { layout, sliced } from "./layout.js";

const MOST_NODES = 1200;
const MOST_LABELS = 80;
const MOST_BOLD = 600; // Ties; of more, each is drawn fainter.
const LETTER_PX = 6.2; // Width of a letter of a name, about.
const MARGIN_PX = 48;
const MOST_DRAWN_OUT = 1.8; // Times as far apart in one direction as in the other.

/** Draw the network of `data` (graph.json) into `frame`; `boxes` are the check boxes of the kinds. */
export async function network(frame, data, boxes) {
  const waiting = h("p", { class: "wait", role: "status" }, "Drawing…");
  frame.append(waiting);
  const nodes = chosen(data);
  const ties = tiesOf(data, nodes);
  const { x, y } = nodes.length ? await sliced(layout(nodes.length, ties)) : { x: [], y: [] };
  waiting.remove();
  return new Picture(frame, data, nodes, ties, x, y, boxes);
}

/** Places in data.nodes of those drawn: all, or where there are too many those with the most ties. */
function chosen(data) {
  const degree = new Array(data.nodes.length).fill(0);
  for (const { a, b } of data.edges) {
    degree[a] += 1;
    degree[b] += 1;
  }
  const places = data.nodes.map((_, place) => place);
  if (places.length <= MOST_NODES) return places;
  return places.sort((m, n) => degree[n] - degree[m] || m - n).slice(0, MOST_NODES);
}

/** One tie for each pair, with what it consists of; ends are places among those drawn. */
function tiesOf(data, nodes) {
  const at = new Map(nodes.map((place, n) => [place, n]));
  const pairs = new Map();
  for (const edge of data.edges) {
    const [a, b] = [at.get(edge.a), at.get(edge.b)];
    if (a === undefined || b === undefined || a === b) continue;
    const name = a < b ? `${a} ${b}` : `${b} ${a}`;
    const tie = pairs.get(name) ?? { a: Math.min(a, b), b: Math.max(a, b), edges: [], strength: 0 };
    tie.edges.push(edge);
    tie.strength += Math.max(edge.surprise || 1, 0.5);
    pairs.set(name, tie);
  }
  const ties = [...pairs.values()];
  const most = ties.reduce((best, tie) => Math.max(best, tie.strength), 1);
  for (const tie of ties) tie.weight = 0.15 + 0.85 * (tie.strength / most);
  return ties;
}

class Picture {
  constructor(frame, data, nodes, ties, x, y, boxes) {
    Object.assign(this, { frame, data, nodes, ties, x, y, boxes });
    this.at = -1;
    this.marked = new Set();
    this.view = this.whole();
    this.build();
    this.place();
    this.filter();
    this.listen();
  }

  node(n) {
    return this.data.nodes[this.nodes[n]];
  }

  whole() {
    const [left, right] = [Math.min(...this.x, 0), Math.max(...this.x, 0)];
    const [top, bottom] = [Math.min(...this.y, 0), Math.max(...this.y, 0)];
    const [wide, tall] = [Math.max(right - left, 1), Math.max(bottom - top, 1)];
    return { x: (left + right) / 2, y: (top + bottom) / 2, wide, tall, zoom: 1 };
  }

  build() {
    const { frame, data } = this;
    const looks = Object.fromEntries(this.boxes.map((box) => [box.value, box.dataset.look]));
    this.svg = s("svg", { "aria-hidden": "true", focusable: "false" });
    this.lines = this.ties.map((tie) => {
      const first = tie.edges.reduce((best, edge) => ((edge.surprise > best.surprise) ? edge : best));
      const line = s("line", { class: `tie-${looks[first.kind] ?? "other"}`, "stroke-width": (0.8 + 2.6 * tie.weight).toFixed(2) });
      return line;
    });
    this.radius = this.nodes.length > 300 ? 3.5 : this.nodes.length > 60 ? 6 : 9;
    this.dots = this.nodes.map((_, n) => {
      return s("circle", { class: this.node(n).look, "data-n": n });
    });
    // Names of the most tied: which of them there is room for is seen when they are placed.
    const degree = new Array(this.nodes.length).fill(0);
    for (const { a, b } of this.ties) for (const n of [a, b]) degree[n] += 1;
    this.ranked = this.nodes.map((_, n) => n).sort((m, n) => degree[n] - degree[m] || m - n).slice(0, MOST_LABELS);
    this.labels = [];
    for (const n of this.ranked) this.labels[n] = s("text", {}, short(this.node(n).id));
    this.dense = this.lines.length > MOST_BOLD;
    this.over = s("g", { class: "over" });
    this.svg.classList.toggle("dense", this.dense);
    this.svg.append(s("g", {}, ...this.lines), this.over, s("g", {}, ...this.dots), s("g", {}, ...this.ranked.map((n) => this.labels[n])));
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", `Network of ${counted(this.nodes.length, "account")} and ${counted(this.ties.length, "tied pair")}. Arrow keys go from account to account.`);
    this.voice = h("p", { class: "hidden", role: "status" });
    const zoom = [["+", "Zoom in", 0.75], ["−", "Zoom out", 1 / 0.75], ["⤢", "Show all", 0]].map(([text, label, by]) => {
      const button = h("button", { type: "button", "aria-label": label, title: label }, text);
      button.addEventListener("click", () => this.zoom(by));
      return button;
    });
    // Beside the picture and not in it: nothing covers an account.
    this.told = h("div", { class: "told quiet" }, "Point at an account or a tie.");
    frame.append(h("div", { class: "zoom" }, ...zoom), this.svg, this.told, this.voice);
    const keys = [["machine", "passes the threshold of an alert, or even odds"], ["none", "does not pass it"], ["person", "speaks for a person"]];
    frame.after(h("ul", { class: "key-list quiet" }, ...keys.map(([name, text]) => h("li", { class: `dot-${name}` }, text)),
      ...(data.nodes.length > this.nodes.length ? [h("li", {}, `${counted(data.nodes.length - this.nodes.length, "account")} with fewer ties not drawn`)] : [])));
  }

  /** Pixels a unit takes now, across and down: a picture is drawn out to fill its frame, but not beyond recognition. */
  scale() {
    const { clientWidth, clientHeight } = this.svg;
    const [across, down] = [Math.max(clientWidth - 2 * MARGIN_PX, 1) / this.view.wide, Math.max(clientHeight - 2 * MARGIN_PX, 1) / this.view.tall];
    const least = Math.min(across, down);
    return [Math.min(across, least * MOST_DRAWN_OUT) * this.view.zoom, Math.min(down, least * MOST_DRAWN_OUT) * this.view.zoom];
  }

  place() {
    const { clientWidth, clientHeight } = this.svg;
    const [across, down] = this.scale();
    this.svg.setAttribute("viewBox", `0 0 ${Math.max(clientWidth, 1)} ${Math.max(clientHeight, 1)}`);
    this.px = this.nodes.map((_, n) => clientWidth / 2 + (this.x[n] - this.view.x) * across);
    this.py = this.nodes.map((_, n) => clientHeight / 2 + (this.y[n] - this.view.y) * down);
    this.over.replaceChildren();
    this.ties.forEach((_, place) => this.drawTie(place));
    this.nodes.forEach((_, n) => this.drawNode(n));
    this.name();
  }

  /** Put names where there is room, those of the most tied first: beside, above or below their dot, over nothing. */
  name() {
    const { clientWidth, clientHeight } = this.svg;
    const taken = this.nodes.map((_, n) => [this.px[n] - this.radius, this.py[n] - this.radius, this.px[n] + this.radius, this.py[n] + this.radius]);
    const free = (box) => box[0] >= 0 && box[1] >= 0 && box[2] <= clientWidth && box[3] <= clientHeight &&
      !taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
    for (const n of this.ranked) {
      const label = this.labels[n];
      const wide = LETTER_PX * label.textContent.length;
      const [x, y, far] = [this.px[n], this.py[n], this.radius + 4];
      const places = [[x + far, y - 7, "start"], [x - far - wide, y - 7, "end"], [x - wide / 2, y - far - 13, "middle"], [x - wide / 2, y + far - 1, "middle"]];
      const found = places.map(([left, top, anchor]) => ({ box: [left, top, left + wide, top + 14], anchor })).find(({ box }) => free(box));
      label.toggleAttribute("hidden", !found);
      label.classList.toggle("nowhere", !found);
      const { box, anchor } = found ?? { box: [x + far, y - 7, x + far + wide, y + 7], anchor: "start" };
      if (found) taken.push(box);
      label.setAttribute("x", (anchor === "start" ? box[0] : anchor === "end" ? box[2] : (box[0] + box[2]) / 2).toFixed(1));
      label.setAttribute("y", (box[1] + 11).toFixed(1));
      label.setAttribute("text-anchor", anchor);
    }
  }

  /** Put one account elsewhere, and its ties with it: nothing else moves. */
  move(n, dx, dy) {
    const [across, down] = this.scale();
    this.x[n] += dx / across;
    this.y[n] += dy / down;
    this.over.replaceChildren();
    this.px[n] += dx;
    this.py[n] += dy;
    this.drawNode(n);
    this.name();
    this.ties.forEach((tie, place) => {
      if (tie.a === n || tie.b === n) this.drawTie(place);
    });
  }

  drawTie(place) {
    const [line, tie] = [this.lines[place], this.ties[place]];
    line.setAttribute("x1", this.px[tie.a].toFixed(1));
    line.setAttribute("y1", this.py[tie.a].toFixed(1));
    line.setAttribute("x2", this.px[tie.b].toFixed(1));
    line.setAttribute("y2", this.py[tie.b].toFixed(1));
  }

  drawNode(n) {
    const dot = this.dots[n];
    dot.setAttribute("cx", this.px[n].toFixed(1));
    dot.setAttribute("cy", this.py[n].toFixed(1));
    dot.setAttribute("r", this.radius);
  }

  filter() {
    const shown = new Set(this.boxes.filter((box) => box.checked).map((box) => box.value));
    this.ties.forEach((tie, place) => {
      tie.shown = tie.edges.some((edge) => shown.has(edge.kind) || !this.boxes.some((box) => box.value === edge.kind));
      this.lines[place].toggleAttribute("hidden", !tie.shown);
      this.lines[place].style.display = tie.shown ? "" : "none";
    });
  }

  neighbours(n) {
    return this.ties.filter((tie) => tie.shown && (tie.a === n || tie.b === n));
  }

  /** Facts of an account, as lines. */
  facts(n) {
    const node = this.node(n);
    const mine = this.neighbours(n);
    const others = new Set(mine.map((tie) => (tie.a === n ? tie.b : tie.a)));
    const evidence = node.look === "outside" ? "not a member" : `driven by a language model: ${node.odds ?? "odds not known"}`;
    const lines = [node.id, `${evidence}, tied to ${counted(others.size, "account")}`];
    const kinds = new Map();
    for (const edge of mine.flatMap((tie) => tie.edges)) kinds.set(edge.kind, (kinds.get(edge.kind) ?? 0) + edge.count);
    const ranked = [...kinds].sort((m, k) => k[1] - m[1]).slice(0, 3);
    if (ranked.length) lines.push(ranked.map(([kind, count]) => `${this.data.kinds[kind] ?? kind}: ${count}`).join("; "));
    if (node.verdict) lines.push(`decided: ${node.verdict.replaceAll("_", " ")}`);
    return lines;
  }

  /** Facts of a tie. */
  told(tie) {
    const lines = [`${this.node(tie.a).id} and ${this.node(tie.b).id}`];
    for (const edge of tie.edges) lines.push(`${this.data.kinds[edge.kind] ?? edge.kind}: ${edge.count} times, ${(edge.expected ?? 0).toFixed(1)} by chance`);
    return lines;
  }

  point(n) {
    for (const each of this.marked) each.classList.remove("near", "at");
    this.at = n;
    // Of very many ties the others are not faded, which would draw them all anew at each move of the pointer: copies of
    // those that count are laid over them.
    this.over.replaceChildren();
    this.svg.classList.toggle("pointed", n >= 0 && !this.dense);
    this.marked = new Set(n < 0 ? [] : [this.dots[n]]);
    if (n < 0) return;
    this.dots[n].classList.add("at");
    const near = new Set([n]);
    this.ties.forEach((tie, place) => {
      if (!tie.shown || (tie.a !== n && tie.b !== n)) return;
      near.add(tie.a).add(tie.b);
      this.marked.add(this.lines[place]);
    });
    for (const place of near) {
      this.marked.add(this.dots[place]);
      if (this.labels[place]) this.marked.add(this.labels[place]);
    }
    for (const each of this.marked) each.classList.add("near");
    if (this.dense) this.over.replaceChildren(...[...this.marked].filter((each) => this.lines.includes(each)).map((each) => each.cloneNode()));
  }

  say([first, ...rest]) {
    this.told.replaceChildren(h("strong", {}, h("bdi", {}, first)), ...rest.map((line) => h("span", {}, line)));
  }

  zoom(by, x = null, y = null) {
    const before = this.scale();
    const { clientWidth, clientHeight } = this.svg;
    if (by === 0) {
      this.view = this.whole();
    } else {
      this.view.zoom = Math.min(Math.max(this.view.zoom / by, 0.5), 30);
      if (x !== null) {
        const after = this.scale();
        this.view.x += (x - clientWidth / 2) * (1 / before[0] - 1 / after[0]);
        this.view.y += (y - clientHeight / 2) * (1 / before[1] - 1 / after[1]);
      }
    }
    this.frame.classList.toggle("zoomed", this.view.zoom > 1.01);
    this.place();
  }

  listen() {
    const { svg, frame } = this;
    const where = (event) => {
      const box = svg.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let held = null;
    svg.addEventListener("pointerdown", (event) => {
      const n = event.target.dataset?.n;
      held = { n: n === undefined ? -1 : Number(n), x: event.clientX, y: event.clientY };
      svg.setPointerCapture(event.pointerId);
      svg.classList.add("moving");
    });
    svg.addEventListener("pointermove", (event) => {
      const [x, y] = where(event);
      if (held) {
        const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
        held.x = event.clientX;
        held.y = event.clientY;
        if (held.n >= 0) {
          this.move(held.n, dx, dy);
        } else {
          const [across, down] = this.scale();
          this.view.x -= dx / across;
          this.view.y -= dy / down;
          this.place();
        }
        return;
      }
      const n = this.nearest(x, y);
      if (n >= 0) {
        if (n !== this.at) this.point(n);
        this.say(this.facts(n));
        return;
      }
      if (this.at >= 0) this.point(-1);
      const place = this.lines.indexOf(event.target);
      if (place >= 0) this.say(this.told(this.ties[place]));
    });
    for (const name of ["pointerup", "pointercancel"]) {
      svg.addEventListener(name, (event) => {
        held = null;
        svg.classList.remove("moving");
        const [x, y] = where(event);
        const n = this.nearest(x, y);
        if (n >= 0) {
          this.point(n);
          this.say(this.facts(n));
        }
      });
    }
    svg.addEventListener("pointerleave", () => {
      if (held || frame.matches(":focus-visible")) return;
      this.point(-1);
    });
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && document.activeElement !== frame) return; // Otherwise the page scrolls.
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, ...where(event));
    }, { passive: false });
    frame.addEventListener("keydown", (event) => {
      if (event.target !== frame || !this.nodes.length) return;
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (by) {
        const n = (this.at + by + this.nodes.length) % this.nodes.length;
        this.point(this.at < 0 ? 0 : n);
        const lines = this.facts(this.at);
        this.say(lines);
        this.voice.textContent = lines.join(". ");
      } else if (event.key === "+" || event.key === "-") {
        this.zoom(event.key === "+" ? 0.75 : 1 / 0.75);
      } else if (event.key === "0") {
        this.zoom(0);
      } else if (event.key === "Escape") {
        this.point(-1);
      } else {
        return;
      }
      event.preventDefault();
    });
    frame.addEventListener("blur", () => {
      this.point(-1);
    });
    for (const box of this.boxes) box.addEventListener("change", () => this.filter());
    new ResizeObserver(() => this.place()).observe(svg);
  }

  nearest(x, y) {
    const reach = Math.max(this.radius + 4, 12);
    let best = -1;
    let least = reach * reach;
    for (let n = 0; n < this.px.length; n++) {
      const far = (this.px[n] - x) ** 2 + (this.py[n] - y) ** 2;
      if (far < least) [best, least] = [n, far];
    }
    return best;
  }
}

const short = (text) => (text.length > 22 ? `${text.slice(0, 21)}…` : text);
