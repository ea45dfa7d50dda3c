// A session of Postgres over a WebSocket of the platform: protocol 3, simple queries, as docs/serverless.md has it.
//
// It is a session like any other: settings, temporary tables and transactions last, it outlives suspends of its
// compute, and does not keep it awake while idle.
import { type Column, Rows } from "./rows";

export interface Target {
  endpoint: string;
  database: string;
  role: string;
  password: string;
  moment?: string; // neon_timestamp:... or neon_lsn:..., for a look at the past.
}

// With the fields that Postgres gives.
export class SqlError extends Error {
  readonly fields: Record<string, string>;
  constructor(message: string, fields: Record<string, string> = {}) {
    super(message);
    this.fields = fields;
  }
  get code() {
    return this.fields.code;
  }
  // Of a character of the statement, from 1.
  get position(): number | undefined {
    return this.fields.position ? Number(this.fields.position) : undefined;
  }
}

export interface Result {
  columns: Column[];
  rows: Rows;
  tag: string; // As "SELECT 5"; empty if it did not end.
  notices: string[];
  milliseconds: number;
}

export type TransactionState = "idle" | "open" | "failed";

const kFields: Record<string, string> = {
  S: "severity", C: "code", M: "message", D: "detail", H: "hint", P: "position", p: "internalPosition", q: "internalQuery",
  W: "where", s: "schema", t: "table", c: "column", d: "dataType", n: "constraint",
};

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function socketUrl(): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v2`;
}

// A message: its type (0: none), its length, its body.
function message(type: number, body: Uint8Array): Uint8Array {
  const head = type === 0 ? 0 : 1;
  const out = new Uint8Array(head + 4 + body.length);
  if (head) out[0] = type;
  new DataView(out.buffer).setInt32(head, body.length + 4);
  out.set(body, head + 4);
  return out;
}

function text(...parts: string[]): Uint8Array {
  return encoder.encode(parts.map((part) => `${part}\0`).join(""));
}

function startup(target: Target): Uint8Array {
  const options = `endpoint=${target.endpoint}${target.moment ? ` ${target.moment}` : ""}`;
  const parameters = text("user", target.role, "database", target.database, "client_encoding", "UTF8",
    "application_name", "Halogen console", "options", options, "");
  const body = new Uint8Array(4 + parameters.length);
  new DataView(body.buffer).setInt32(0, 196608);
  body.set(parameters, 4);
  return message(0, body);
}

interface Pending {
  result: Result;
  began: number;
  error?: SqlError;
  onRows?: (rows: Rows, columns: Column[]) => void;
  resolve: (result: Result) => void;
  reject: (error: SqlError) => void;
}

export class Connection {
  private socket: WebSocket;
  private left = new Uint8Array(0);
  private pending: Pending | null = null;
  private key: Uint8Array | null = null; // Pid and secret.
  private ready: { resolve: () => void; reject: (error: Error) => void } | null = null;
  transaction: TransactionState = "idle";
  closed = false;
  onChange: () => void = () => {};

  private constructor(private readonly target: Target) {
    this.socket = new WebSocket(socketUrl());
    this.socket.binaryType = "arraybuffer";
  }

  // Waits for the compute, if it has to be woken.
  static open(target: Target, signal?: AbortSignal): Promise<Connection> {
    const connection = new Connection(target);
    return new Promise<Connection>((resolve, reject) => {
      connection.ready = { resolve: () => resolve(connection), reject };
      signal?.addEventListener("abort", () => {
        connection.close();
        reject(new SqlError("cancelled"));
      });
      connection.socket.onopen = () => connection.send(startup(target));
      connection.socket.onmessage = (event) => connection.hear(new Uint8Array(event.data as ArrayBuffer));
      connection.socket.onclose = () => connection.end();
    });
  }

  private send(bytes: Uint8Array) {
    this.socket.send(bytes);
  }

  // One statement (or several, whose last result counts).
  run(sql: string, onRows?: Pending["onRows"]): Promise<Result> {
    if (this.closed) return Promise.reject(new SqlError("the connection is closed"));
    if (this.pending) return Promise.reject(new SqlError("another statement is under way"));
    return new Promise((resolve, reject) => {
      const result: Result = { columns: [], rows: new Rows(), tag: "", notices: [], milliseconds: 0 };
      this.pending = { result, began: performance.now(), onRows, resolve, reject };
      this.send(message(0x51, text(sql)));
    });
  }

  // Asks the server to stop what is under way; it ends with an error then.
  cancel(): void {
    if (!this.key || !this.pending) return;
    const body = new Uint8Array(4 + this.key.length);
    new DataView(body.buffer).setInt32(0, 80877102);
    body.set(this.key, 4);
    const socket = new WebSocket(socketUrl());
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      socket.send(message(0, body));
      setTimeout(() => socket.close(), 2000);
    };
  }

  close(): void {
    if (this.closed) return;
    if (this.socket.readyState === WebSocket.OPEN) this.send(message(0x58, new Uint8Array(0)));
    this.socket.close();
    this.end();
  }

  private end() {
    if (this.closed) return;
    this.closed = true;
    const error = new SqlError("The connection to the platform was lost.");
    this.ready?.reject(error);
    this.ready = null;
    this.pending?.reject(this.pending.error ?? error);
    this.pending = null;
    this.onChange();
  }

  private hear(bytes: Uint8Array) {
    let buffer = bytes;
    if (this.left.length > 0) {
      buffer = new Uint8Array(this.left.length + bytes.length);
      buffer.set(this.left);
      buffer.set(bytes, this.left.length);
    }
    const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
    let at = 0;
    while (at + 5 <= buffer.length) {
      const end = at + 1 + view.getInt32(at + 1);
      if (end > buffer.length) break;
      this.take(String.fromCharCode(buffer[at]), buffer, at + 5, end, view);
      at = end;
    }
    this.left = at === 0 ? buffer.slice() : buffer.slice(at);
    if (this.pending?.result.rows.length) this.pending.onRows?.(this.pending.result.rows, this.pending.result.columns);
  }

  private take(type: string, buffer: Uint8Array, at: number, end: number, view: DataView) {
    const pending = this.pending;
    switch (type) {
      case "D":
        pending?.result.rows.add(buffer, at);
        break;
      case "R":
        if (view.getInt32(at) === 3) this.send(message(0x70, text(this.target.password)));
        else if (view.getInt32(at) !== 0) this.fail(new SqlError("the server asks for a way of signing in that the console has not"));
        break;
      case "K":
        this.key = buffer.slice(at, end);
        break;
      case "T":
        if (pending) Object.assign(pending.result, { columns: columnsIn(buffer, at, view), rows: new Rows() });
        break;
      case "C":
        if (pending) pending.result.tag = decoder.decode(buffer.subarray(at, end - 1));
        break;
      case "N":
        pending?.result.notices.push(noticeText(fieldsIn(buffer, at, end)));
        break;
      case "E": {
        const fields = fieldsIn(buffer, at, end);
        this.fail(new SqlError(fields.message ?? "the server gave no message", fields));
        break;
      }
      case "G": // COPY FROM STDIN: there is nothing to read from here.
        this.send(message(0x66, text("COPY FROM STDIN does not work in the console")));
        break;
      case "Z":
        this.settle(String.fromCharCode(buffer[at]));
        break;
    }
  }

  private fail(error: SqlError) {
    if (this.ready) {
      this.ready.reject(error);
      this.ready = null;
      this.close();
    } else if (this.pending) this.pending.error = error;
  }

  private settle(state: string) {
    this.transaction = state === "T" ? "open" : state === "E" ? "failed" : "idle";
    this.ready?.resolve();
    this.ready = null;
    const pending = this.pending;
    this.pending = null;
    if (pending) {
      pending.result.milliseconds = performance.now() - pending.began;
      if (pending.error) pending.reject(pending.error);
      else pending.resolve(pending.result);
    }
    this.onChange();
  }
}

function textAt(buffer: Uint8Array, at: number): [string, number] {
  const end = buffer.indexOf(0, at);
  return [decoder.decode(buffer.subarray(at, end)), end + 1];
}

function fieldsIn(buffer: Uint8Array, begin: number, end: number): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = begin; at < end && buffer[at] !== 0; ) {
    const name = kFields[String.fromCharCode(buffer[at])];
    const [value, next] = textAt(buffer, at + 1);
    if (name) fields[name] = value;
    at = next;
  }
  return fields;
}

const noticeText = (fields: Record<string, string>) =>
  `${fields.severity}: ${fields.message}${fields.detail ? ` (${fields.detail})` : ""}`;

function columnsIn(buffer: Uint8Array, begin: number, view: DataView): Column[] {
  const columns: Column[] = [];
  let at = begin + 2;
  for (let left = view.getInt16(begin); left > 0; left--) {
    const [name, next] = textAt(buffer, at);
    columns.push({ name, table: view.getUint32(next), attribute: view.getInt16(next + 4), type: view.getUint32(next + 6) });
    at = next + 18;
  }
  return columns;
}
