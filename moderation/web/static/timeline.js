// When the members posted: above, how many accounts were active at once (where waves show); below, each account's posts.
import { counted, h, s, tooltip, when } from "./dom.js";

const MOST_ROWS = 30;
const BINS = 72;
const STEPS_MIN = [10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10080]; // Widths of a bin that people can read off a clock.
const CROWD = 0.5; // Half of the members active in one bin is called a wave.

/** Draw the posts of `data` (graph.json) into `frame`; says the busiest moment in `said`. False where there are none. */
export function timeline(frame, data, said) {
  const posts = data.posts.filter(({ at }) => Number.isFinite(at)).sort((p, q) => p.at - q.at);
  if (posts.length < 2) return false;
  const bins = binned(posts);
  const active = new Set(posts.map(({ n }) => n));
  const order = rank(posts).slice(0, MOST_ROWS);
  new Rows(frame, data, posts, bins, order, active.size).draw();
  const best = bins.list.reduce((most, bin) => (bin.who.size > most.who.size ? bin : most));
  const crowded = active.size > 3 ? bins.list.filter((bin) => bin.who.size >= CROWD * active.size).length : 0;
  if (active.size === 1) {
    said.textContent = `${counted(posts.length, "post")} from ${when(posts[0].at)} to ${when(posts.at(-1).at)}.`;
    return true;
  }
  said.textContent = `Busiest: ${range(best, bins.width)}, ${best.who.size} of ${counted(active.size, "account")} with ${counted(best.posts, "post")}. ` +
    (crowded ? `At ${counted(crowded, "time")} at least half of them were active at once.` : "At no time were half of them active at once.");
  return true;
}

/** Accounts, those who posted most first. */
function rank(posts) {
  const counts = new Map();
  for (const { n } of posts) counts.set(n, (counts.get(n) ?? 0) + 1);
  return [...counts].sort((p, q) => q[1] - p[1] || p[0] - q[0]).map(([n]) => n);
}

function binned(posts) {
  const first = posts[0].at;
  const last = posts.at(-1).at;
  const width = (STEPS_MIN.find((minutes) => (last - first) / (minutes * 60_000) <= BINS) ?? STEPS_MIN.at(-1)) * 60_000;
  const start = Math.floor(first / width) * width;
  const count = Math.min(Math.floor((last - start) / width) + 1, 2000);
  const list = Array.from({ length: count }, (_, place) => ({ at: start + place * width, who: new Set(), posts: 0 }));
  for (const { n, at } of posts) {
    const bin = list[Math.min(Math.floor((at - start) / width), count - 1)];
    bin.who.add(n);
    bin.posts += 1;
  }
  return { list, width, start, end: start + count * width };
}

function range(bin, width) {
  return `${when(bin.at)} to ${when(bin.at + width).split(", ").at(width >= 86_400_000 ? 0 : 1)}`;
}

const look = (kind) => (/repost/.test(kind) ? "repost" : /repl|quote/.test(kind) ? "reply" : "post");
const LOOKS = { post: "post", repost: "repost", reply: "reply or quote" };

class Rows {
  constructor(frame, data, posts, bins, order, total) {
    Object.assign(this, { frame, data, posts, bins, order, total });
    this.at = -1;
    this.svg = s("svg", { "aria-hidden": "true", focusable: "false" });
    this.voice = h("p", { class: "hidden", role: "status" });
    frame.tabIndex = 0;
    frame.setAttribute("role", "group");
    frame.setAttribute("aria-label", `Time line of ${counted(posts.length, "post")}. Arrow keys go from time to time.`);
    frame.append(this.svg, this.voice);
    this.tip = tooltip(frame);
    const looks = [...new Set(posts.map(({ kind }) => look(kind)))];
    const rest = total - order.length;
    const key = looks.length > 1 ? looks.map((name) => h("li", { class: `dot-${name}` }, LOOKS[name])) : [];
    const more = rest > 0 ? [h("li", { class: "plain" }, `${counted(rest, "account")} with fewer posts: in the bars above only`)] : [];
    frame.after(h("ul", { class: "key-list quiet" }, ...key, ...more));
    this.listen();
  }

  draw() {
    const width = Math.max(this.frame.clientWidth, 280);
    const left = width < 520 ? 12 : 168;
    const [top, tall, row] = [24, 72, width < 520 ? 12 : 20];
    const base = top + tall;
    const height = base + 28 + this.order.length * row + 8;
    const { start, end, list, width: step } = this.bins;
    const x = (at) => left + ((at - start) / (end - start)) * (width - left - 12);
    Object.assign(this, { x, width, height, base });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("height", height);
    // One account is active or not; of one, posts are counted.
    const measure = (bin) => (this.total > 1 ? bin.who.size : bin.posts);
    const most = Math.max(...list.map(measure));
    const bars = list.filter((bin) => bin.posts).map((bin) => {
      const size = (measure(bin) / most) * tall;
      const crowd = this.total > 3 && bin.who.size >= CROWD * this.total ? " crowd" : "";
      return s("rect", { class: `wave${crowd}`, x: x(bin.at).toFixed(1), y: (base - size).toFixed(1), width: Math.max(x(bin.at + step) - x(bin.at) - 1, 1).toFixed(1), height: size.toFixed(1) });
    });
    const rows = this.order.flatMap((n, place) => {
      const y = base + 40 + place * row;
      const line = s("line", { class: "row", x1: left, x2: width - 12, y1: y, y2: y });
      const name = left > 20 ? [s("text", { class: "name", x: left - 8, y: y + 4, "text-anchor": "end" }, short(this.data.nodes[n].id))] : [];
      return [line, ...name];
    });
    const places = new Map(this.order.map((n, place) => [n, place]));
    const dots = this.posts.filter(({ n }) => places.has(n)).map(({ n, at, kind }) =>
      s("circle", { class: look(kind), cx: x(at).toFixed(1), cy: base + 40 + places.get(n) * row, r: 3, "fill-opacity": 0.75 }));
    this.cursor = s("line", { class: "cursor", y1: top, y2: height, x1: 0, x2: 0, visibility: "hidden" });
    this.svg.replaceChildren(
      s("text", { x: left, y: 14 }, this.total > 1 ? `Accounts active at once, most ${most}` : `Posts at once, most ${most}`), ...bars,
      s("line", { class: "axis", x1: left, x2: width - 12, y1: base, y2: base }), ...this.ticks(left, width, base),
      ...rows, ...dots, this.cursor,
    );
  }

  ticks(left, width, base) {
    const { start, end } = this.bins;
    const wanted = Math.max(2, Math.floor((width - left) / 110));
    const steps = [15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400, 43200].map((minutes) => minutes * 60_000);
    const step = steps.find((each) => (end - start) / each <= wanted) ?? steps.at(-1) * 4;
    const marks = [];
    for (let at = Math.ceil(start / step) * step; at < end; at += step) {
      const text = step >= 86_400_000 ? when(at).split(",")[0] : when(at);
      if (this.x(at) > width - 70) break;
      marks.push(s("line", { class: "axis", x1: this.x(at), x2: this.x(at), y1: base, y2: base + 5 }), s("text", { x: this.x(at), y: base + 18 }, text));
    }
    return marks;
  }

  show(place) {
    this.at = place;
    const bin = this.bins.list[place];
    const middle = this.x(bin.at + this.bins.width / 2);
    this.cursor.setAttribute("x1", middle);
    this.cursor.setAttribute("x2", middle);
    this.cursor.setAttribute("visibility", "visible");
    const lines = [range(bin, this.bins.width), `${bin.who.size} of ${counted(this.total, "account")}, ${counted(bin.posts, "post")}`];
    const scale = this.frame.clientWidth / this.width;
    this.tip.show(middle * scale, this.base * 0.5, h("strong", {}, lines[0]), h("div", {}, lines[1]));
    return lines;
  }

  hide() {
    this.at = -1;
    this.cursor?.setAttribute("visibility", "hidden");
    this.tip.hide();
  }

  listen() {
    this.svg.addEventListener("pointermove", (event) => {
      const box = this.svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * this.width;
      const place = Math.floor(((x - this.x(this.bins.start)) / (this.x(this.bins.end) - this.x(this.bins.start))) * this.bins.list.length);
      if (this.bins.list[place]) this.show(place);
      else this.hide();
    });
    this.svg.addEventListener("pointerleave", () => this.hide());
    this.frame.addEventListener("blur", () => this.hide());
    this.frame.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      const list = this.bins.list;
      let place = this.at < 0 && by < 0 ? list.length : this.at;
      do place += by; while (list[place] && !list[place].posts);
      if (list[place]) this.voice.textContent = this.show(place).join(": ");
    });
    let known = this.frame.clientWidth;
    new ResizeObserver(() => {
      if (this.frame.clientWidth === known) return;
      known = this.frame.clientWidth;
      this.draw();
    }).observe(this.frame);
  }
}

const short = (text) => (text.length > 22 ? `${text.slice(0, 21)}…` : text);
