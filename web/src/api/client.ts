// One way to the API: JSON both ways, the session's cookie, errors with the server's own words.

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

type Listener = () => void;
const signedOutListeners = new Set<Listener>();
// Told when the API no longer knows us.
export function onSignedOut(listener: Listener): () => void {
  signedOutListeners.add(listener);
  return () => signedOutListeners.delete(listener);
}

async function request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      signal,
      headers: {
        "X-Halogen-Console": "1",
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "UNREACHABLE", "Halogen does not answer. Is it running? See `halogen status`.");
  }
  const text = await response.text();
  let answer: unknown = {};
  try {
    answer = text === "" ? {} : JSON.parse(text);
  } catch {
    throw new ApiError(response.status, "", `the answer of ${path} is not JSON`);
  }
  if (response.ok) return answer as T;
  const { message, code } = answer as { message?: string; code?: string };
  if (response.status === 401 && !path.startsWith("/api/v2/console/session"))
    signedOutListeners.forEach((listener) => listener());
  throw new ApiError(response.status, code ?? "", message || `the server answered with status ${response.status}`);
}

export const http = {
  get: <T>(path: string, signal?: AbortSignal) => request<T>("GET", path, undefined, signal),
  post: <T>(path: string, body: unknown = {}) => request<T>("POST", path, body),
  patch: <T>(path: string, body: unknown) => request<T>("PATCH", path, body),
  put: <T>(path: string, body: unknown) => request<T>("PUT", path, body),
  delete: <T>(path: string) => request<T>("DELETE", path),
};

export const api = "/api/v2";

export function path(strings: TemplateStringsArray, ...values: string[]): string {
  return api + strings.reduce((all, part, i) => all + encodeURIComponent(values[i - 1] ?? "") + part);
}
