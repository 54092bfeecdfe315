// SPDX-License-Identifier: GPL-2.0-or-later
// As the engine's web UI checks a custom property. Input: lines `<regex> <value>`, both as base64 of UTF-8 (`-`: empty);
// output: a line `true` or `false` for each.
"use strict";

const decode = (word) => Buffer.from(word === "-" ? "" : word, "base64").toString("utf8");

for (const line of require("fs").readFileSync(0, "utf8").trimEnd().split("\n")) {
  const [regex, value] = line.split(" ").map(decode);
  console.log(new RegExp(regex).test(value));
}
