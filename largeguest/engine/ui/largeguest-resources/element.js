// SPDX-License-Identifier: GPL-2.0-or-later
// Makes elements of the page. Text is always text: nothing that comes from elsewhere is read as HTML.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      made.addEventListener(key.slice(2), value);
    } else if (value !== null && value !== false) {
      made.setAttribute(key, value === true ? "" : value);
    }
  }
  made.append(...children);
  return made;
}

// A field in which the user types keeps its text.
export function setValue(field, value) {
  if (field !== document.activeElement && field.value !== value) {
    field.value = value;
  }
}
