// What every page has: the switch between light and dark, and help on keys.
import { h, keep, kept } from "./dom.js";
import { help, key } from "./keys.js";

const LOOKS = [["", "Auto"], ["light", "Light"], ["dark", "Dark"]];
const root = document.documentElement;
const button = h("button", { type: "button", id: "looks" });

function say() {
  const look = LOOKS.find(([name]) => name === (root.dataset.theme ?? ""));
  button.replaceChildren("◐", h("span", {}, look[1]));
  button.setAttribute("aria-label", `Looks: ${look[1]}. Change`);
}

button.addEventListener("click", () => {
  const place = LOOKS.findIndex(([name]) => name === (root.dataset.theme ?? ""));
  const [name] = LOOKS[(place + 1) % LOOKS.length];
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
  keep("feed-theme", name || null);
  say();
});

addEventListener("storage", () => {
  const name = kept("feed-theme", "");
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
  say();
});

say();
const tools = document.querySelector(".tools");
tools?.append(button);
if (document.body.dataset.csrf) {
  const keys = h("button", { type: "button", "aria-label": "Keys" }, "?");
  keys.addEventListener("click", help);
  tools?.append(keys);
}
key("?", "this help", help);
// Blurred texts: the link shows all of them, with or without this script; a press on one shows it alone.
const show = document.querySelector("#show-texts");
if (show) {
  const turn = () => {
    const blurred = document.body.classList.toggle("blurred");
    show.textContent = blurred ? "Show the texts" : "Blur the texts";
  };
  show.addEventListener("click", (event) => {
    event.preventDefault();
    turn();
  });
  key("v", "show or blur the texts", turn);
  document.addEventListener("click", ({ target }) => target.closest?.(".text, .about q, .about .said > bdi")?.classList.add("seen"));
}
// Times in the reader's own: the page says them in UTC, which stays in the note on each.
const own = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
function local(root) {
  for (const time of root.querySelectorAll?.("time[datetime]:not([title])") ?? []) {
    time.title = `${time.textContent} UTC`;
    time.textContent = own.format(new Date(time.dateTime));
  }
}
local(document);
new MutationObserver((changes) => changes.forEach(({ addedNodes }) => addedNodes.forEach(local))).observe(document.body, { childList: true, subtree: true });
const times = document.querySelector("#times");
const zone = own.resolvedOptions().timeZone;
if (times && zone !== "UTC") times.textContent = `Times are those of ${zone}; pictures are in UTC.`;
// Where bars of links are wider than the window, the current one is in sight.
for (const bar of document.querySelectorAll(".top nav, .states")) {
  const current = bar.querySelector("[aria-current]");
  if (current) bar.scrollLeft = current.offsetLeft - bar.offsetLeft - (bar.clientWidth - current.offsetWidth) / 2;
}
