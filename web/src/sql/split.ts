// A text of SQL as its statements, as psql would send them one by one.

export interface Span {
  from: number;
  to: number; // Without the semicolon.
  text: string;
}

// Where what begins at `at` ends, if it is a literal, a quoted name or a comment; else `at`.
function skipQuoted(sql: string, at: number): number {
  const char = sql[at];
  if (char === "'" || char === '"') {
    const escapes = char === "'" && /[eE]/.test(sql[at - 1] ?? "") && !/[\w$]/.test(sql[at - 2] ?? "");
    for (let i = at + 1; i < sql.length; i++) {
      if (escapes && sql[i] === "\\") i++;
      else if (sql[i] === char) {
        if (sql[i + 1] !== char) return i + 1;
        i++;
      }
    }
    return sql.length;
  }
  if (char === "-" && sql[at + 1] === "-") {
    const end = sql.indexOf("\n", at);
    return end < 0 ? sql.length : end + 1;
  }
  if (char === "/" && sql[at + 1] === "*") {
    let depth = 1;
    let i = at + 2;
    for (; i < sql.length && depth > 0; i++) {
      if (sql[i] === "/" && sql[i + 1] === "*") depth++, i++;
      else if (sql[i] === "*" && sql[i + 1] === "/") depth--, i++;
    }
    return i;
  }
  if (char === "$" && !/[\w$]/.test(sql[at - 1] ?? "")) {
    const tag = /^\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/.exec(sql.slice(at, at + 70))?.[0];
    if (tag) {
      const end = sql.indexOf(tag, at + tag.length);
      return end < 0 ? sql.length : end + tag.length;
    }
  }
  return at;
}

export function split(sql: string): Span[] {
  const spans: Span[] = [];
  let from = 0;
  let begin = -1; // Of what is more than space and comments.
  let parentheses = 0;
  let blocks = 0; // BEGIN ATOMIC ... END, and CASE ... END in it.
  const finish = (to: number) => {
    if (begin >= 0) {
      const end = from + sql.slice(from, to).trimEnd().length;
      spans.push({ from: begin, to: end, text: sql.slice(begin, end) });
    }
    begin = -1;
  };
  for (let at = 0; at < sql.length; ) {
    const skipped = skipQuoted(sql, at);
    if (skipped > at) {
      const comment = sql.startsWith("--", at) || sql.startsWith("/*", at);
      if (!comment && begin < 0) begin = at;
      at = skipped;
      continue;
    }
    const char = sql[at];
    if (char === ";" && parentheses === 0 && blocks === 0) {
      finish(at);
      from = at + 1;
      at++;
      continue;
    }
    if (!/\s/.test(char) && begin < 0) begin = at;
    if (char === "(") parentheses++;
    if (char === ")") parentheses = Math.max(0, parentheses - 1);
    if (/[A-Za-z_]/.test(char)) {
      const word = /^[A-Za-z_][\w$]*/.exec(sql.slice(at, at + 64))![0];
      const lower = word.toLowerCase();
      if (lower === "begin" && /^begin\s+atomic\b/i.test(sql.slice(at, at + 40))) blocks++;
      else if (blocks > 0 && lower === "case") blocks++;
      else if (blocks > 0 && lower === "end") blocks--;
      at += word.length;
      continue;
    }
    at++;
  }
  finish(sql.length);
  return spans;
}

// The statement that the cursor is in, or just behind.
export function statementAt(sql: string, at: number): Span | undefined {
  const spans = split(sql);
  return spans.find((span) => at >= span.from && at <= span.to + 1) ?? [...spans].reverse().find((span) => span.to <= at) ?? spans[0];
}

export const quoteName = (name: string) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
export const quoteLiteral = (text: string | null) => (text === null ? "NULL" : `'${text.replaceAll("'", "''")}'`);
