// What one copies for one language: its files, and how it is installed and run.
import { Eye, EyeOff } from "lucide-react";
import { useState } from "react";
import type { Snippet } from "@/snippets/snippets";
import { Button, CopyButton } from "@/ui/basics";
import { Code } from "@/ui/code";

interface Props {
  snippet: Snippet;
  password: string | null | undefined; // Null: nobody here knows it.
  onShowEnv: () => void;
}

export function SnippetPanel({ snippet, password, onShowEnv }: Props) {
  const [revealed, setRevealed] = useState(false);
  const hide = revealed ? null : password;
  return (
    <div role="tabpanel" aria-label={snippet.name} className="space-y-3">
      {snippet.before && (
        <>
          <div className="flex items-center justify-between gap-3">
            <p className="truncate font-mono text-xs text-muted">{snippet.before.file}</p>
            <CopyButton text={snippet.before.code} label={`Copy ${snippet.before.file}`} />
          </div>
          <Code code={snippet.before.code} hide={hide} />
        </>
      )}
      <div className="flex flex-wrap items-center justify-between gap-x-3 gap-y-1">
        <p className="font-mono text-xs text-muted">{snippet.file || "In a terminal"}</p>
        <div className="ml-auto flex items-center gap-1">
          {password && snippet.code.includes(password) && (
            <Button
              size="sm"
              look="quiet"
              icon={revealed ? <EyeOff className="size-4" aria-hidden /> : <Eye className="size-4" aria-hidden />}
              onClick={() => setRevealed(!revealed)}
            >
              {revealed ? "Hide password" : "Show password"}
            </Button>
          )}
          <CopyButton withText label="Copy snippet" text={snippet.code} />
        </div>
      </div>
      <Code code={snippet.code} hide={hide} wrap={snippet.language === "shell" || snippet.language === "env"} className="max-h-80" />
      {password === null && (
        <p className="text-[13px] text-warn">This role's password was set by SQL, so only you know it. Put it into the string, or reset it.</p>
      )}
      {(snippet.note || snippet.install || snippet.run) && (
        <div className="space-y-2 text-[13px] text-muted">
          {snippet.note && <p>{snippet.note}</p>}
          {snippet.install && <Line name="Install" code={snippet.install} />}
          {snippet.run && <Line name="Run" code={snippet.run} />}
          {snippet.needsEnv && (
            <p>
              It reads <code className="font-mono text-xs">DATABASE_URL</code>:{" "}
              <button type="button" className="font-medium text-accent underline underline-offset-2" onClick={onShowEnv}>
                the .env has it
              </button>
              .
            </p>
          )}
        </div>
      )}
    </div>
  );
}

function Line({ name, code }: { name: string; code: string }) {
  return (
    <div className="flex items-start gap-3">
      <span className="w-12 shrink-0 pt-1.5">{name}</span>
      <code className="scroll-thin min-w-0 flex-1 overflow-x-auto rounded-md bg-sunken px-2 py-1.5 font-mono text-xs whitespace-pre text-ink" tabIndex={0}>
        {code}
      </code>
      <CopyButton text={code} label={`Copy: ${name}`} />
    </div>
  );
}
