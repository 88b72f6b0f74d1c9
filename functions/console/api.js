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

/** POST that may be answered piece by piece: `hear` is given each piece, and the answer is returned. */
export async function stream(path, body, hear) {
  const reply = await request("POST", path, body, { accept: "text/event-stream, application/json" });
  if (!reply.headers.get("content-type")?.startsWith("text/event-stream")) return told(reply);
  for await (const [name, data] of events(reply.body)) {
    if (name === "error") throw new Problem(data.status, data);
    if (name === "answer") return data;
    hear(data);
  }
  throw new Problem(0, null);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const blocks = (held + read.value).split("\n\n");
    held = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const of = (name) => lines.find((line) => line.startsWith(name))?.slice(name.length) ?? "";
      yield [of("event: "), JSON.parse(of("data: "))];
    }
  }
}

const call = async (method, path, body, headers) => told(await request(method, path, body, headers));

async function request(method, path, body, headers = {}) {
  const sent = { accept: "application/json", ...headers };
  if (key.get()) sent["x-api-key"] = key.get();
  if (body !== undefined) sent["content-type"] = "application/json";
  try {
    return await fetch(path, { method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Problem(0, null);
  }
}

async function told(reply) {
  const found = await reply.json().catch(() => null);
  // Health answers 503 with a body of its own shape when something is down: that is an answer, not a problem.
  if (!reply.ok && !(reply.status === 503 && found?.dependencies)) throw new Problem(reply.status, found);
  return found;
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
