// An alert's page: its pictures, its members, and that it has changed while one reads.
import { counted, h } from "./dom.js";
import { key } from "./keys.js";
import { network } from "./network.js";
import { timeline } from "./timeline.js";

const article = document.querySelector("[data-alert]");
const revised = document.querySelector("#revised");
document.addEventListener("feed:change", async ({ detail }) => {
  const place = detail.changed.indexOf(article.dataset.alert);
  if (place >= 0) {
    // One's own claim, a moment before the page was made, is no news.
    if (detail.times[place] > Number(article.dataset.changed)) revised.hidden = false;
  } else if (detail.more && revised.hidden) {
    const answer = await fetch(`/api/v1/alerts/${encodeURIComponent(article.dataset.alert)}`).catch(() => null);
    const now = answer?.ok ? await answer.json() : null;
    if (now && String(now.alert.revision) !== article.dataset.revision) revised.hidden = false;
  }
});

// Pictures
const frame = document.querySelector("#network");
const address = `/alerts/${encodeURIComponent(article.dataset.alert)}/graph.json`;

async function pictures() {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(String(answer.status));
  const data = await answer.json();
  const card = document.querySelector("#when");
  card.hidden = false;
  card.hidden = !timeline(document.querySelector("#timeline"), data, document.querySelector("#timeline-said"));
  if (frame) await network(frame, data, [...document.querySelectorAll("#edge-kinds input")]);
  article.dataset.drawn = "yes";
}

pictures().catch(() => {
  frame?.replaceChildren(h("p", { class: "wait", role: "alert" }, "The picture could not be drawn. The table below has the strongest ties."));
  article.dataset.drawn = "no";
});

// Members
const boxes = [...document.querySelectorAll("input[name=account]")];
const rows = [...document.querySelectorAll(".members tbody tr")];
const search = document.querySelector("#members-search");
const said = document.querySelector("#members-said");
const chosen = document.querySelector("#chosen");
const whole = document.querySelector("input[name=scope][value=alert]");
const alone = document.querySelector("input[name=scope][value=accounts]");

function choices() {
  const count = boxes.filter((box) => box.checked).length;
  if (chosen) chosen.textContent = count ? `${counted(count, "chosen member")}` : "chosen members";
  if (alone && count) alone.checked = true;
  if (whole && !count) whole.checked = true;
}

if (search) {
  document.querySelector("#members-tools").hidden = rows.length < 2;
  search.addEventListener("input", () => {
    const asked = search.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      row.hidden = !row.querySelector(".account").textContent.toLowerCase().includes(asked);
      count += row.hidden ? 0 : 1;
    }
    said.textContent = asked ? `${counted(count, "account")} found` : "";
  });
  const set = (on) => () => {
    for (const box of boxes) if (!on || !box.closest("tr").hidden) box.checked = on;
    choices();
  };
  document.querySelector("#members-all")?.addEventListener("click", set(true));
  document.querySelector("#members-none")?.addEventListener("click", set(false));
  for (const box of boxes) box.addEventListener("change", choices);
  whole?.addEventListener("change", () => {
    for (const box of boxes) box.checked = false;
    choices();
  });
}

// Drafts: what is typed is kept while one types, and when one leaves
const form = document.querySelector("#decide");
const saidOfDraft = document.querySelector("#draft-said");
let due = null;
let sent = false;

function keepDraft() {
  clearTimeout(due);
  due = null;
  if (sent) return;
  const body = new URLSearchParams();
  for (const name of ["csrf", "decision", "reason", "policy", "note"]) body.set(name, new FormData(form).get(name) ?? "");
  fetch(`/drafts/${encodeURIComponent(article.dataset.alert)}`, { method: "POST", body, keepalive: true })
    .then((answer) => { saidOfDraft.textContent = answer.ok ? "Draft kept." : "The draft could not be kept: your session may have ended."; })
    .catch(() => { saidOfDraft.textContent = "The draft could not be kept: no connection."; });
}

if (form) {
  form.addEventListener("input", ({ target }) => {
    if (!["reason", "policy", "note"].includes(target.name)) return;
    clearTimeout(due);
    due = setTimeout(keepDraft, 800);
  });
  form.addEventListener("submit", () => { sent = true; });
  addEventListener("pagehide", () => { if (due !== null) keepDraft(); });
}

// Keys
const claim = document.querySelector("#claim");
const verdicts = [...document.querySelectorAll("input[name=decision]")];
key("u", "back to the queue", () => document.querySelector("#back").click());
if (claim) key("c", "claim", () => claim.click());
if (verdicts.length) {
  verdicts.forEach((radio, place) => {
    key(String(place + 1), radio.closest("label").querySelector("strong").textContent, () => {
      radio.checked = true;
      radio.focus();
    });
  });
  key("g", "decide and take the next one", () => {
    if (verdicts.some((radio) => radio.checked)) document.querySelector("#decide-next")?.click();
    else verdicts[0].focus();
  });
  key("d", "go to the decision", () => (verdicts.find((radio) => radio.checked) ?? verdicts[0]).focus());
}
const skip = document.querySelector("#skip");
if (skip) key("s", "pass it over, take the next one", () => skip.click());
const passOn = document.querySelector("#pass-on");
const why = passOn?.querySelector("form[action$='/escalate'] input[name=reason]");
if (why) {
  key("e", "escalate", () => {
    passOn.open = true;
    why.focus();
  });
}
const undo = document.querySelector("#undo");
if (undo) key("z", "take the decision back", () => undo.click());
const was = document.querySelector("#was");
if (was) key("b", "the alert before", () => was.click());
if (document.querySelector("#comment")) key("o", "say something to colleagues", () => document.querySelector("#comment").focus());
key("n", "go to the network", () => frame?.focus());
key("m", "go to the members", () => (search ?? document.querySelector(".members-scroll"))?.focus());
