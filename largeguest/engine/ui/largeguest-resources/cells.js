// SPDX-License-Identifier: GPL-2.0-or-later
// The rows of the guest's nodes.

import { element, setValue } from "./element.js";

const FIELDS = { vcpus: "vCPUs", memory: "memory", nodes: "host nodes" };

export class Cells {
  // `change(number, name, value)` is called when something is typed, `edit(kind, number)` for a button.
  constructor(body, change, edit) {
    this.body = body;
    this.change = change;
    this.edit = edit;
  }

  // Nothing can be typed, but the focus stays.
  lock(isLocked) {
    for (const field of this.body.querySelectorAll("input:not([type])")) {
      field.readOnly = isLocked;
    }
  }

  show(cells) {
    while (this.body.rows.length > cells.length) {
      this.body.deleteRow(-1);
    }
    while (this.body.rows.length < cells.length) {
      this.body.append(this.row(this.body.rows.length));
    }
    cells.forEach((cell, number) => {
      for (const name of Object.keys(FIELDS)) {
        setValue(this.body.rows[number].querySelector(`[name=${name}]`), cell[name]);
      }
      this.body.rows[number].querySelector("[data-kind=join]").disabled = number === cells.length - 1;
    });
  }

  row(number) {
    const field = ([name, label]) =>
      element(
        "td",
        {},
        element("input", {
          name,
          "aria-label": `${label} of cell ${number}`,
          spellcheck: "false",
          oninput: (event) => this.change(number, name, event.target.value),
        }),
      );
    const button = (kind, title) =>
      element("button", { type: "button", "data-kind": kind, title: `${title} ${number}`, onclick: () => this.edit(kind, number) }, kind);
    const target = element("input", { type: "radio", name: "target", value: number, "aria-label": `a click on a node changes cell ${number}` });
    return element(
      "tr",
      {},
      element("td", {}, element("label", {}, target, ` ${number}`)),
      ...Object.entries(FIELDS).map(field),
      element("td", { class: "buttons" }, button("split", "make two cells of cell"), button("join", "join with the next one: cell")),
    );
  }
}
