// The queue, live: rows that are there change where they stand; new ones are announced and shown when asked for, so that
// nothing moves under somebody who reads. And the keyboard.
import { counted, h } from "./dom.js";
import { key } from "./keys.js";

const PAUSE_MS = 1500; // Between two looks at the rows, however many alerts arrive.
const body = document.querySelector("#rows");
const button = document.querySelector("#show-news");
const announced = new Set();
let asked = false;
let again = false;
let missed = false; // More arrived than was named: every row that is not here is news then.

const rowOf = (root, id) => root?.querySelector(`tr[data-id="${CSS.escape(id)}"]`);
const ids = (root) => [...(root?.querySelectorAll("tr[data-id]") ?? [])].map((row) => row.dataset.id);

/** The rows as they are now: a document, parsed by the browser without a way for scripts in it to run. */
function rows() {
  return new Promise((resolve, reject) => {
    const address = new URL(location.href);
    address.searchParams.set("rows", "1");
    address.searchParams.delete("done");
    const request = new XMLHttpRequest();
    request.open("GET", address);
    request.responseType = "document";
    request.onload = () => (request.status === 200 && request.responseXML ? resolve(request.responseXML) : reject());
    request.onerror = reject;
    request.send();
  });
}

function refresh(row, fresh) {
  const [cell, now] = [row.querySelector(".state"), fresh?.querySelector(".state")];
  if (!fresh) {
    row.classList.add("gone");
    cell.replaceChildren(h("span", { class: "badge" }, "no longer here"));
  } else if (cell.textContent.trim() !== now.textContent.trim()) {
    row.classList.remove("gone");
    cell.replaceChildren(...[...now.childNodes].map((node) => document.importNode(node, true)));
  }
}

async function look(arrived, changed) {
  for (const id of arrived) announced.add(id);
  if (arrived.length || changed.some((id) => rowOf(body, id))) again = true;
  if (asked || !again) return; // What comes during the pause is looked at when it ends.
  asked = true;
  again = false;
  try {
    const fresh = await rows();
    for (const row of body?.querySelectorAll("tr[data-id]") ?? []) refresh(row, rowOf(fresh, row.dataset.id));
    const news = ids(fresh).filter((id) => (missed || announced.has(id)) && !rowOf(body, id)).length;
    button.hidden = !news;
    button.textContent = `${counted(news, "new alert")}: show`;
    button.dataset.count = news;
  } catch {
    again = true; // The next change brings another try.
  }
  setTimeout(() => {
    asked = false;
    if (again) look([], []);
  }, PAUSE_MS);
}

/** Put the rows in as they are now. One's focus, choices and the first visible row stay where they are. */
async function show() {
  const fresh = await rows().catch(() => null);
  if (!body || !fresh) {
    location.reload();
    return;
  }
  const before = new Set(ids(body));
  const chosen = new Set([...document.querySelectorAll(".choose:checked")].map((box) => box.value));
  const made = [...fresh.querySelectorAll("tr[data-id]")].map((row) => document.importNode(row, true));
  for (const row of made) {
    if (!before.has(row.dataset.id)) row.classList.add("fresh");
    const box = row.querySelector(".choose");
    if (box) box.checked = chosen.has(box.value);
  }
  body.replaceChildren(...made);
  announced.clear();
  missed = false;
  button.hidden = true;
  (body.querySelector("tr.fresh .open") ?? body.querySelector(".open"))?.focus();
  choices();
}

document.addEventListener("feed:change", ({ detail }) => {
  const waiting = document.querySelector("#waiting");
  waiting.textContent = (detail.waiting - (detail[waiting.dataset.without] ?? 0)).toLocaleString("en");
  if (detail.more) missed = again = true;
  look(detail.arrived, detail.changed);
});
button.addEventListener("click", show);

// Choosing
const chosen = document.querySelector("#chosen");
const all = h("input", { type: "checkbox", class: "all", "aria-label": "Choose all on this page" });
const boxes = () => [...document.querySelectorAll(".choose")];

function choices() {
  const count = boxes().filter((box) => box.checked).length;
  if (chosen) chosen.textContent = `${counted(count, "alert")} chosen`;
  all.checked = count > 0 && count === boxes().length;
  all.indeterminate = count > 0 && !all.checked;
}

if (chosen) {
  document.querySelector(".queue thead th").replaceChildren(all);
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    choices();
  });
  document.addEventListener("change", choices);
  choices();
}

// Keys
const links = () => [...document.querySelectorAll("#rows .open")];
const here = () => document.activeElement?.closest?.("#rows tr");

function step(by) {
  const list = links();
  const at = list.findIndex((each) => each.closest("tr") === here());
  const next = at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(at + by, 0), list.length - 1);
  list[next]?.focus();
  list[next]?.scrollIntoView({ block: "nearest" });
}

async function claim() {
  const id = here()?.dataset.id;
  if (!id || !chosen) return;
  const form = new URLSearchParams({ csrf: document.body.dataset.csrf });
  const answer = await fetch(`/alerts/${encodeURIComponent(id)}/claim`, { method: "POST", body: form, redirect: "manual" });
  if (answer.type !== "opaqueredirect") rowOf(body, id).querySelector(".state").replaceChildren(h("span", { class: "badge held" }, "somebody was faster"));
  again = true;
  look([], []);
}

key("j", "next alert", () => step(1));
key("k", "alert before", () => step(-1));
key("Enter", "open it", null); // Links do that by themselves.
if (chosen) {
  key("c", "claim it", claim);
  key("x", "choose it", () => here()?.querySelector(".choose")?.click());
  key("n", "take the next one", () => document.querySelector("#next")?.click());
}
key("/", "search", () => document.querySelector("input[type=search]").focus());
key("r", "show new alerts", show);
