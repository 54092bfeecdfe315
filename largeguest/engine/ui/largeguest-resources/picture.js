// SPDX-License-Identifier: GPL-2.0-or-later
// The picture that the service has drawn. A node is a button: a click, or Enter and the space bar, call `toggle`.
// Between pressing the mouse and its release the picture may be drawn again; then browsers send no click.

const MIN_SCALE = 0.5;

const numberOf = (node) => Number(node.id.slice("node".length));

function asButton(node, used, toggle) {
  const number = numberOf(node);
  node.setAttribute("role", "button");
  node.setAttribute("tabindex", "0");
  node.setAttribute("aria-pressed", String(used.includes(number)));
  node.setAttribute("aria-label", `node ${number}`);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      toggle(number);
    }
  });
}

// The cores are drawn over their node, so the click is on one of them.
function nodeAt(event) {
  return document.elementsFromPoint(event.clientX, event.clientY).find((one) => /^node\d+$/.test(one.id));
}

function watch(place, toggle) {
  const call = (node) => node && toggle?.(numberOf(node));
  place.onmousedown = (event) => {
    place.dataset.pressed = nodeAt(event)?.id || "";
  };
  place.onmouseup = (event) => {
    const node = nodeAt(event);
    if (event.button === 0 && node?.id === place.dataset.pressed) {
      call(node);
    }
  };
  place.onclick = (event) => {
    if (event.detail === 0) {
      call(event.target.closest("[id^=node]")); // of a program, such as a screen reader
    }
  };
}

export function show(place, source, used, toggle) {
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  const old = place.querySelector("svg");
  if (!source) {
    place.replaceChildren();
    return;
  }
  const svg = document.importNode(new DOMParser().parseFromString(source, "image/svg+xml").documentElement, true);
  const width = Number(svg.getAttribute("width"));
  const scale = Math.min(1, Math.max(MIN_SCALE, (place.clientWidth - 20) / width));
  svg.setAttribute("width", String(width * scale));
  svg.setAttribute("height", String(Number(svg.getAttribute("height")) * scale));
  const nodes = svg.querySelectorAll("[id^=node]");
  if (toggle) {
    svg.classList.add("clickable");
    nodes.forEach((node) => asButton(node, used, toggle));
  }
  watch(place, toggle);
  if (old) {
    old.replaceWith(svg);
  } else {
    place.replaceChildren(svg);
  }
  if (focused) {
    svg.querySelector(`#${CSS.escape(focused)}`)?.focus();
  }
}
