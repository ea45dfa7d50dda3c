// Code to read and to copy, lightly coloured; secrets in it may be hidden.
import clsx from "clsx";
import type { ReactNode } from "react";

const kToken =
  /(#[^\n]*|\/\/[^\n]*|--[^\n]*)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\b(import|from|with|as|print|async|await|def|return|const|new|package|func|defer|var|if|err|class|public|static|void|try|throws|datasource|generator|export|psql|node|npx|npm|pip|go|select|SELECT)\b/g;

function coloured(code: string): ReactNode[] {
  const out: ReactNode[] = [];
  let at = 0;
  for (const match of code.matchAll(kToken)) {
    const index = match.index;
    if (index < at) continue;
    // In a URL, // begins no comment.
    if (match[1]?.startsWith("//") && code[index - 1] === ":") continue;
    out.push(code.slice(at, index));
    out.push(
      <span key={index} className={match[1] ? "text-faint" : match[2] ? "text-ok" : "text-accent"}>
        {match[0]}
      </span>,
    );
    at = index + match[0].length;
  }
  out.push(code.slice(at));
  return out;
}

interface Props {
  code: string;
  hide?: string | null; // A secret in it.
  wrap?: boolean;
  className?: string;
}

export function Code({ code, hide, wrap, className }: Props) {
  const shown = hide ? code.replaceAll(hide, "•".repeat(12)) : code;
  return (
    <pre
      tabIndex={0}
      className={clsx(
        "scroll-thin overflow-x-auto rounded-lg border bg-sunken p-3.5 font-mono text-[12.5px] leading-relaxed",
        wrap && "break-all whitespace-pre-wrap",
        className,
      )}
    >
      <code>{coloured(shown)}</code>
    </pre>
  );
}
