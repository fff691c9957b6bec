// Buttons that copy the text of another element: <button data-copy="id of the element">.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  const source = button && document.getElementById(button.dataset.copy);
  if (!source) return;
  const done = (await write(source.textContent)) || select(source);
  const label = button.dataset.label ??= button.textContent;
  button.textContent = done === "selected" ? "Selected: copy it with the keyboard" : "Copied";
  const news = document.querySelector("[data-live-news]");
  if (news) news.textContent = button.textContent;
  clearTimeout(button.timer);
  button.timer = setTimeout(() => { button.textContent = label; }, 2000);
});

async function write(text) {
  try {
    await navigator.clipboard.writeText(text); // Absent without TLS, except on this machine.
    return "copied";
  } catch {
    return "";
  }
}

/** Selects a text, and copies it where the browser still has the old way. */
function select(element) {
  for (let d = element.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
  getSelection().selectAllChildren(element);
  return document.execCommand("copy") ? "copied" : "selected";
}
