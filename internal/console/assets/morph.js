// Changes a tree of elements into another one, and leaves alone what is equal: focus, open details, scroll positions and playing videos stay.

/** The key by which a child is found again. */
const key = (node) => (node.nodeType === 1 ? node.dataset.keep || node.id : "");

/** Makes one element like another. What has data-keep stays as it is while the value is the same. */
export function morph(from, to) {
  if (from.nodeType !== 1) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.dataset.keep && from.dataset.keep === to.dataset.keep) return;
  attributes(from, to);
  children(from, to);
}

function attributes(from, to) {
  for (const { name, value } of [...to.attributes]) {
    if (name !== "open" && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (name !== "open" && !to.hasAttribute(name)) from.removeAttribute(name);
  }
}

function children(from, to) {
  const wanted = new Set([...to.childNodes].map(key).filter(Boolean));
  const keyed = new Map([...from.childNodes].map((node) => [key(node), node]));
  let at = from.firstChild;
  const drop = () => {
    const next = at.nextSibling;
    at.remove();
    at = next;
  };
  for (const next of [...to.childNodes]) {
    const name = key(next);
    let match = name ? keyed.get(name) : undefined;
    if (match) {
      while (at && at !== match && !wanted.has(key(at))) drop(); // Moving the match would stop a video in it.
    } else if (at && !name && !key(at) && at.nodeType === next.nodeType && at.nodeName === next.nodeName) {
      match = at;
    }
    if (!match) {
      from.insertBefore(document.importNode(next, true), at);
    } else {
      if (match === at) at = at.nextSibling;
      else from.insertBefore(match, at);
      morph(match, next);
    }
  }
  while (at) drop();
}
