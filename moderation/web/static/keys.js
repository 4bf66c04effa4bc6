// Keyboard: each page registers single keys; "?" shows them. They can be switched off, for those who dictate.
import { h, keep, kept } from "./dom.js";

const known = [];
let on = kept("feed-keys", "on") === "on";
let dialog = null;

/** Let a key (as in KeyboardEvent.key) do something; `shown` is what the help says, "" for nothing; null: the browser does it. */
export function key(name, shown, work) {
  known.push({ name, shown, work });
}

/** Show what keys do. */
export function help() {
  dialog?.remove();
  const lines = known.filter((each) => each.shown);
  const box = h("input", { type: "checkbox" });
  box.checked = on;
  box.addEventListener("change", () => {
    on = box.checked;
    keep("feed-keys", on ? null : "off");
  });
  dialog = h(
    "dialog",
    { "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", {}, ...lines.flatMap(({ name, shown }) => [h("dt", {}, h("kbd", {}, name)), h("dd", {}, shown)])),
    h("p", {}, h("label", { class: "check" }, box, "Use single keys on these pages")),
    h("form", { method: "dialog" }, h("button", { class: "main" }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

const types = (element) =>
  element.closest("textarea, select, [contenteditable]") ||
  element.matches("input:not([type=checkbox], [type=radio], [type=submit])");

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && types(event.target)) event.target.blur();
  if (types(event.target)) return;
  const found = known.find(({ name }) => name === event.key);
  if (!found?.work || !(on || event.key === "?")) return;
  event.preventDefault();
  found.work(event);
});
