// Requests to the gateway. A failure is an Error with the server's own words.

export async function getJson(path) {
  return unwrap(await fetch(path, { headers: { Accept: "application/json" } }));
}

export async function postJson(path, body, headers = {}) {
  return unwrap(await post(path, body, headers));
}

/** Calls `onEvent` with the JSON of each server-sent event of a POST, up to `[DONE]`. */
export async function postForEvents(path, body, onEvent) {
  const response = await post(path, body);
  if (!response.ok) await unwrap(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += value;
    const events = waiting.split("\n\n");
    waiting = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]" || data.startsWith(":")) continue;
      const parsed = JSON.parse(data);
      if (parsed.error) throw new Error(parsed.error.message);
      onEvent(parsed);
    }
  }
}

function post(path, body, headers = {}) {
  return fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

async function unwrap(response) {
  const body = await response.json().catch(() => null);
  if (response.ok) return body;
  throw new Error(body?.error?.message ?? `the gateway answered ${response.status}`);
}
