/* A tree is drawn anew for each frame and merged into the one on the screen, so that what did not change keeps its node:
   focus, selection and a screen reader's place stay where they are. */

const SVG = 'http://www.w3.org/2000/svg';
const SVG_TAGS = new Set(['svg', 'rect', 'line', 'polyline', 'circle', 'g']);

/**
 * Make an element. Attributes that are null or false are left out, true becomes an empty one.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null>} attributes
 * @param {...(Node | string | null)} children
 * @returns {Element}
 */
export function h(tag, attributes, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/**
 * Make `current` equal to `wanted`, changing as little as possible.
 * @param {Node} current
 * @param {Node} wanted
 */
export function merge(current, wanted) {
  if (current instanceof Text && wanted instanceof Text) {
    if (current.data !== wanted.data) current.data = wanted.data;
    return;
  }
  if (current instanceof Element && wanted instanceof Element) {
    for (const { name } of [...current.attributes]) if (!wanted.hasAttribute(name)) current.removeAttribute(name);
    for (const { name, value } of wanted.attributes) {
      if (current.getAttribute(name) !== value) current.setAttribute(name, value);
    }
  }
  const old = [...current.childNodes];
  const fresh = [...wanted.childNodes];
  fresh.forEach((node, i) => {
    const before = old[i];
    if (before === undefined) current.appendChild(node);
    else if (before.nodeName !== node.nodeName || key(before) !== key(node)) current.replaceChild(node, before);
    else merge(before, node);
  });
  for (const node of old.slice(fresh.length)) current.removeChild(node);
}

/** Rows that stand for different things are exchanged, not rewritten. @param {Node} node */
function key(node) {
  return node instanceof Element ? node.getAttribute('data-key') : null;
}
