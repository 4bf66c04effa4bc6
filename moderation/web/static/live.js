// Follows the queue's changes and tells the page about them, as events of `document`; says whether it does. A window that is
// not in sight does not: a browser has few connections to one host, and a moderator many windows. Back in sight, or after a
// broken connection, it is told what changed since the last event it saw; at first, since the page was made.
let source = null;
let last = document.body.dataset.made;
const link = document.querySelector("#link");

function say(state, text) {
  link.hidden = false;
  link.dataset.state = state;
  link.textContent = text;
  link.title = text;
}

function follow() {
  if (source || document.hidden) return;
  source = new EventSource(`/api/v1/live?since=${last}`);
  for (const name of ["hello", "change"]) {
    source.addEventListener(name, (event) => {
      say("live", "live");
      last = event.lastEventId;
      document.dispatchEvent(new CustomEvent(`feed:${name}`, { detail: JSON.parse(event.data) }));
    });
  }
  source.addEventListener("error", () => say("lost", source?.readyState === EventSource.CLOSED ? "not live: reload" : "connecting"));
}

function rest() {
  source?.close();
  source = null;
}

follow();
document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
addEventListener("pagehide", rest);
addEventListener("pageshow", follow);
