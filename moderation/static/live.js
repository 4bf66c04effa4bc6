// Follows the queue's changes and tells the page about them, as events of `document`; says whether it does.
const source = new EventSource("/api/v1/live");
const link = document.querySelector("#link");

function say(state, text) {
  link.hidden = false;
  link.dataset.state = state;
  link.textContent = text;
  link.title = text;
}

for (const name of ["hello", "change"]) {
  source.addEventListener(name, (event) => {
    say("live", "live");
    document.dispatchEvent(new CustomEvent(`feed:${name}`, { detail: JSON.parse(event.data) }));
  });
}
source.addEventListener("error", () => say("lost", source.readyState === EventSource.CLOSED ? "not live: reload" : "connecting"));
addEventListener("pagehide", () => source.close());
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
