// Talks to the server: calls, uploads, jobs and their events.

const ROOT = new URL("api/v1/", document.baseURI);
const KEY = "ganart-token";

const fromAddress = new URLSearchParams(location.hash.slice(1)).get("token");
if (fromAddress) {
  sessionStorage.setItem(KEY, fromAddress);
  history.replaceState(null, "", location.pathname);
}

let askForToken = null;

/** Sets the function that asks the user for a token and resolves once there is one. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function failure(response) {
  try {
    const told = await response.json();
    return new Error(told.error.message);
  } catch {
    return new Error(`The server answered ${response.status} ${response.statusText}.`);
  }
}

/** Fetches a path of the API; asks for a token once where one is needed, and throws an Error with the server's words. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(new URL(path, ROOT), { ...options, headers: headers(options.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.status === 401 && askForToken) {
    await askForToken();
    return request(path, options);
  }
  if (!response.ok) throw await failure(response);
  return response;
}

export const describe = async () => (await request("describe")).json();
export const listJobs = async () => (await request("jobs?limit=100")).json();
export const getJob = async (id) => (await request(`jobs/${id}`)).json();
export const cancel = async (id) => (await request(`jobs/${id}/cancel`, { method: "POST" })).json();
export const forget = async (id) => request(`jobs/${id}`, { method: "DELETE" });

/** Uploads a picture and returns `{id, width, height, record}`. */
export async function upload(blob) {
  const type = blob.type.startsWith("image/") ? blob.type : "image/png";
  return (await request("uploads", { method: "POST", body: blob, headers: { "Content-Type": type } })).json();
}

export async function submit(verb, asked, priority = 0) {
  const body = JSON.stringify({ verb, request: asked, priority });
  return (await request("jobs", { method: "POST", body, headers: { "Content-Type": "application/json" } })).json();
}

/** Fetches a job's picture and returns it as a Blob. */
export const picture = async (id, number) => (await request(`jobs/${id}/pictures/${number}`)).blob();

/**
 * Yields a job's events, `{type, data}`, until it has ended. A lost connection is taken up again after the last event
 * that arrived.
 */
export async function* events(id) {
  let last = null;
  let failures = 0;
  for (;;) {
    try {
      const more = last === null ? {} : { "Last-Event-ID": last };
      const response = await request(`jobs/${id}/events`, { headers: { Accept: "text/event-stream", ...more } });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const parts = text.split("\n\n");
        text = parts.pop();
        for (const part of parts) {
          const event = { type: "message", data: "" };
          for (const line of part.split("\n")) {
            if (line.startsWith("event: ")) event.type = line.slice(7);
            else if (line.startsWith("data: ")) event.data += line.slice(6);
            else if (line.startsWith("id: ")) last = line.slice(4);
          }
          if (!event.data) continue;
          failures = 0;
          event.data = JSON.parse(event.data);
          yield event;
          if (event.type === "end") return;
        }
      }
    } catch (error) {
      if (++failures > 5) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(4000, 250 * 2 ** failures)));
  }
}
