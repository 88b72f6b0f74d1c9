// The only module that speaks HTTP. An answer that is not a success becomes a Problem whose message is a sentence.

const KEY = "millrace.key";

export class Problem extends Error {
  constructor(status, body) {
    super(sentence(status, body));
    this.name = "Problem";
    this.status = status;
    this.draft = body?.draft ?? null;
    this.violations = body?.violations ?? [];
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export const get = (path, query) => call("GET", path + search(query));
export const post = (path, body, headers) => call("POST", path, body, headers);
export const remove = (path) => call("DELETE", path);

async function call(method, path, body, headers = {}) {
  const sent = { accept: "application/json", ...headers };
  if (key.get()) sent["x-api-key"] = key.get();
  if (body !== undefined) sent["content-type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, null);
  }
  const told = await reply.json().catch(() => null);
  // Health answers 503 with a body of its own shape when something is down: that is an answer, not a problem.
  if (!reply.ok && !(reply.status === 503 && told?.dependencies)) throw new Problem(reply.status, told);
  return told;
}

function search(query) {
  const given = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function sentence(status, body) {
  if (status === 0) return "The API does not answer. Is it running?";
  if (body?.detail) return String(body.detail);
  if (status === 401 || status === 403) return "The API does not know this key. Set yours under “Key”, above.";
  if (status === 413) return "This is too large to be sent.";
  return `The API answered with ${status}${body?.message ? `: ${body.message}` : ""}.`;
}
