// SPDX-License-Identifier: GPL-2.0-or-later
// Asks the service behind the dialog, on the same server, with the token of the user's session.

const NAME = "largeguest";
const SECONDS = 90;

export const api = window.top.pluginApi(NAME);

const channel = new BroadcastChannel(NAME);

// Tells the other pages that a virtual machine has a new layout.
export function saved(vm) {
  channel.postMessage(vm);
}

export function whenSaved(work) {
  channel.addEventListener("message", (event) => work(event.data));
}

export class Refusal extends Error {
  constructor(status, problems) {
    super(problems.map(text).join("; "));
    this.status = status;
    this.problems = problems;
  }
}

export function text(problem) {
  return [problem.subject, problem.what, problem.fix].filter(Boolean).join(": ");
}

function refusal(status, answer) {
  if (status === 401) {
    return new Refusal(status, [{ what: "Your session has ended", fix: "log in again" }]);
  }
  const nothing = [{ what: `the service for NUMA layouts does not answer (HTTP ${status})`, fix: "look at httpd's error log" }];
  return new Refusal(status, (answer && answer.problems) || nothing);
}

export async function ask(action, body) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), SECONDS * 1000);
  try {
    const response = await fetch(`${api.configObject().service}/${action}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${api.ssoToken()}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      signal: stop.signal,
    });
    const answer = await response.json().catch(() => null);
    if (!response.ok || !answer) {
      throw refusal(response.status, answer);
    }
    return answer;
  } catch (error) {
    throw error instanceof Refusal ? error : refusal("no answer", null);
  } finally {
    clearTimeout(timer);
  }
}
