// Shortcuts of one key. They do nothing while somebody types, and can be switched off in their dialog.
const dialog = document.getElementById("keys");
const stored = "refract.keys";
const on = dialog?.querySelector("[data-keys-on]");

function enabled() {
  try { return localStorage.getItem(stored) !== "off"; } catch { return true; }
}

const actions = {
  "?": () => dialog.showModal(),
  "/": () => focus(document.querySelector("[data-search]")),
  j: () => step(1),
  k: () => step(-1),
};

/** Adds a shortcut: run returns false if the key means nothing now. */
export function shortcut(key, run) { actions[key] = run; }

function focus(element) {
  if (!element) return false;
  element.focus();
}

/** Moves the focus between the links of rows. */
function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")];
  const at = rows.indexOf(document.activeElement);
  const row = rows[at < 0 ? (by > 0 ? 0 : -1) : at + by];
  row?.closest("tr")?.scrollIntoView({ block: "nearest" });
  return focus(row);
}

if (dialog) {
  on.checked = enabled();
  on.addEventListener("change", () => {
    try { localStorage.setItem(stored, on.checked ? "on" : "off"); } catch { /* It lasts as long as the page. */ }
  });
  document.querySelector("[data-keys-open]").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open || !on.checked) return;
    const at = event.target;
    if (at.isContentEditable || at.matches("input:not([type=checkbox], [type=radio], [type=range]), textarea, select")) return;
    let key = event.key;
    if (at.matches("[data-row]")) key = { ArrowDown: "j", ArrowUp: "k" }[key] ?? key;
    const run = Object.hasOwn(actions, key) && actions[key];
    if (run && run() !== false) event.preventDefault();
  });
}
