// Files dropped anywhere or pasted go to the card that can take them, or to a new one.

const KINDS = { "image/": "image", "audio/": "audio" };

/** `add(kind)` makes a card for files of a kind, null where there is none; `trouble(words)` says what is wrong. */
export function takeFiles(cards, add, trouble) {
  function take(file, target) {
    const start = Object.keys(KINDS).find((type) => file.type.startsWith(type));
    const takes = (card) => start && card?.takes === start;
    const own = target.closest?.("li.card");
    const card = takes(own)
      ? own
      : ([...cards.children].find((one) => takes(one) && !one.asks.file) ?? (start ? add(KINDS[start]) : null));
    if (!card) return trouble(`“${file.name}” is nothing that this index can be asked with.`);
    trouble("");
    card.take(file);
  }

  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  let within = 0; // elements entered and not left: the drag is over the page while there is one
  const mark = (count) => {
    within = count;
    document.body.classList.toggle("dropping", within > 0);
  };
  addEventListener("dragenter", (event) => {
    if (carries(event)) mark(within + 1);
  });
  addEventListener("dragleave", (event) => {
    if (carries(event)) mark(Math.max(within - 1, 0));
  });
  addEventListener("dragover", (event) => {
    if (carries(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    mark(0);
    for (const file of event.dataTransfer.files) take(file, event.target);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    for (const file of files) take(file, event.target);
  });
}
