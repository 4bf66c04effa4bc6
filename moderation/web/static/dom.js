// Elements out of parts. Texts only ever become text nodes and attributes, never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** An HTML element with attributes and children (nodes or texts). */
export const h = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

/** An SVG element. */
export const s = (tag, attributes = {}, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

/** "1 account", "12 accounts". */
export const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** "14 Mar, 09:05", UTC. */
export function when(ms) {
  const at = new Date(ms);
  const month = at.toLocaleString("en", { month: "short", timeZone: "UTC" });
  const two = (value) => String(value).padStart(2, "0");
  return `${at.getUTCDate()} ${month}, ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

/** A value kept in this browser; `fallback` where there is none, or no storage. */
export function kept(name, fallback) {
  try {
    return localStorage.getItem(name) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Keep a value in this browser, where that is possible. */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
}

/** A note beside what one points at, kept within its frame. */
export function tooltip(frame) {
  const tip = h("div", { class: "tip", hidden: true });
  frame.append(tip);
  return {
    show(x, y, ...lines) {
      tip.replaceChildren(...lines);
      tip.hidden = false;
      const { clientWidth, clientHeight } = frame;
      const left = x + 16 + tip.offsetWidth > clientWidth ? x - 16 - tip.offsetWidth : x + 16;
      const top = y + 16 + tip.offsetHeight > clientHeight ? y - 16 - tip.offsetHeight : y + 16;
      tip.style.left = `${Math.max(4, left)}px`;
      tip.style.top = `${Math.max(4, top)}px`;
    },
    hide() {
      tip.hidden = true;
    },
  };
}
