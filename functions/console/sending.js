// An archive on its way, in parts, from this page straight to S3; stopped, it goes on with the parts that are missing.

import { get, post } from "./api.js";

const AT_ONCE = 3;
const ASKED = 12; // addresses at a time: they hold for an hour
const TRIES = 4;
const SAMPLE = 1 << 20;

/** Of size and both ends, as the command line has it: only the same file goes on with an upload. */
export async function fingerprint(file) {
  if (!globalThis.crypto?.subtle) return `${file.size}-${file.lastModified}`;
  const ends = new Blob([String(file.size), file.slice(0, SAMPLE), file.slice(Math.max(0, file.size - SAMPLE))]);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await ends.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The draft that waits for just this file, or a new one: {id, upload}. */
export async function begin(file, about) {
  const mark = await fingerprint(file);
  const drafts = await get("/api/datasets", { readiness: "draft", search: about.name, limit: 100 });
  for (const draft of drafts.items.filter((one) => one.uploading && one.name === about.name && one.domain === about.domain)) {
    const upload = await get(`/api/datasets/${draft.id}/upload`);
    if (upload.fingerprint === mark && upload.size_bytes === file.size) return { id: draft.id, upload };
  }
  return post("/api/datasets", { ...about, size_bytes: file.size, fingerprint: mark });
}

/** Send what is missing. onBytes is told how many bytes are there. Rejects with what signal was aborted with. */
export async function send(file, { id, upload }, onBytes, signal) {
  const lengths = new Map(); // part -> bytes that are there
  const length = (number) => Math.min(upload.part_bytes, file.size - (number - 1) * upload.part_bytes);
  const tell = (number, bytes) => {
    lengths.set(number, bytes);
    onBytes([...lengths.values()].reduce((sum, one) => sum + one, 0));
  };
  for (const number of upload.present) tell(number, length(number));
  const wanted = Array.from({ length: upload.parts }, (_, at) => at + 1).filter((number) => !lengths.has(number));
  while (wanted.length) {
    const { items } = await post(`/api/datasets/${id}/upload/parts`, { numbers: wanted.splice(0, ASKED) });
    const waiting = [...items];
    const worker = async () => {
      for (let part = waiting.shift(); part; part = waiting.shift()) await sendPart(file, upload, part, (bytes) => tell(part.number, bytes), signal);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }
  return post(`/api/datasets/${id}/upload/complete`, {});
}

async function sendPart(file, upload, part, onBytes, signal) {
  const start = (part.number - 1) * upload.part_bytes;
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    try {
      await put(part.url, file.slice(start, start + part.size_bytes, ""), onBytes, signal);
      onBytes(part.size_bytes);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (attempt === TRIES) throw new Error(`Part ${part.number} could not be sent: ${error.message} Send the file again; it goes on.`);
      await new Promise((resolve) => { setTimeout(resolve, 500 * 2 ** attempt); });
    }
  }
}

/** XMLHttpRequest, since fetch does not tell how much has been sent. */
function put(url, body, onBytes, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open("PUT", url);
    request.upload.addEventListener("progress", (event) => onBytes(event.loaded));
    request.addEventListener("loadend", () => {
      signal.removeEventListener("abort", stop);
      if (request.status >= 200 && request.status < 300) resolve();
      else reject(new Error(request.status ? `S3 answered with ${request.status}.` : "S3 does not answer."));
    });
    signal.addEventListener("abort", stop);
    request.send(body);
  });
}
