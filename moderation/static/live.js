// Follows the queue's changes and tells the page about them, as events of `document`.
const source = new EventSource("/api/v1/live");
for (const name of ["hello", "change"]) {
  source.addEventListener(name, (event) => {
    document.dispatchEvent(new CustomEvent(`feed:${name}`, { detail: JSON.parse(event.data) }));
  });
}
addEventListener("pagehide", () => source.close());
