// What is not of one project: API keys, and the platform itself.
import { useQuery } from "@tanstack/react-query";
import { KeyRound, Plus } from "lucide-react";
import { type FormEvent, useState } from "react";
import { ApiError, http } from "@/api/client";
import { statusQuery, useChange } from "@/api/queries";
import type { ApiKey } from "@/api/types";
import { useCreating } from "@/shell/use-creating";
import { Badge, Button, Card, CardHead, CopyButton, Empty, Field, Input, Problem, Skeleton } from "@/ui/basics";
import { ago, moment } from "@/ui/format";
import { Confirm, Dialog, DialogActions } from "@/ui/overlays";
import { TopBar } from "./projects";

export function AccountPage() {
  return (
    <div className="min-h-dvh">
      <TopBar />
      <main className="mx-auto max-w-4xl space-y-6 px-4 py-8 sm:px-8">
        <h1 className="text-xl font-semibold">API keys and platform</h1>
        <ApiKeys />
        <PlatformCard />
      </main>
    </div>
  );
}

function ApiKeys() {
  const keys = useQuery({
    queryKey: ["api_keys"],
    queryFn: ({ signal }) => http.get<ApiKey[]>("/api/v2/api_keys", signal),
  });
  const [creating, setCreating] = useCreating("key");
  const [name, setName] = useState("");
  const [made, setMade] = useState<string | null>(null);
  const [revoking, setRevoking] = useState<ApiKey | null>(null);
  const create = useChange(
    () => http.post<{ key: string }>("/api/v2/api_keys", { key_name: name.trim() }),
    (answer) => {
      setCreating(false);
      setName("");
      setMade(answer.key);
    },
  );
  const revoke = useChange((key: ApiKey) => http.delete(`/api/v2/api_keys/${key.id}`));
  const absent = keys.error instanceof ApiError && keys.error.status === 404;
  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate(undefined);
  }
  return (
    <Card>
      <CardHead title="API keys" hint="For scripts, CI, Terraform: everything that the console can do.">
        {!absent && (
          <Button size="sm" icon={<Plus className="size-4" aria-hidden />} onClick={() => setCreating(true)}>
            New key
          </Button>
        )}
      </CardHead>
      {absent ? (
        <p className="p-5 text-sm text-muted">
          The operator's own key is in the file <code className="font-mono text-xs">api_key</code> of the platform's home. This platform makes no others.
        </p>
      ) : keys.error ? (
        <Problem error={keys.error} className="m-4" retry={() => void keys.refetch()} />
      ) : !keys.data ? (
        <Skeleton className="m-5 h-10" />
      ) : keys.data.length === 0 ? (
        <Empty icon={<KeyRound aria-hidden />} title="No keys" />
      ) : (
        <ul>
          {keys.data.map((key) => (
            <li key={key.id} className="flex items-center gap-3 border-b px-5 py-2.5 last:border-0">
              <KeyRound className="size-4 text-muted" aria-hidden />
              <div className="min-w-0 flex-1">
                <p className="truncate font-medium">{key.name}</p>
                <p className="text-xs text-muted">
                  made {moment(key.created_at)}
                  {key.last_used_at && `, used ${ago(key.last_used_at)}`}
                </p>
              </div>
              <Button size="sm" look="quiet" onClick={() => setRevoking(key)}>
                Revoke
              </Button>
            </li>
          ))}
        </ul>
      )}
      <Dialog open={creating} onOpenChange={setCreating} title="New API key" description="It is shown once.">
        <form onSubmit={submit}>
          <Field label="Name">{(props) => <Input {...props} autoFocus placeholder="ci" value={name} onChange={(event) => setName(event.target.value)} />}</Field>
          {create.error && <Problem error={create.error} className="mt-4" />}
          <DialogActions>
            <Button onClick={() => setCreating(false)}>Cancel</Button>
            <Button type="submit" look="solid" busy={create.isPending} disabled={name.trim() === ""}>
              Create key
            </Button>
          </DialogActions>
        </form>
      </Dialog>
      <Dialog open={made !== null} onOpenChange={() => setMade(null)} title="Your new API key" description="Copy it now: it is not shown again.">
        <div className="flex items-center gap-2 rounded-lg border bg-sunken px-3 py-2">
          <code className="min-w-0 flex-1 font-mono text-xs break-all">{made}</code>
          <CopyButton text={made ?? ""} label="Copy key" />
        </div>
      </Dialog>
      <Confirm
        open={revoking !== null}
        onOpenChange={() => setRevoking(null)}
        title={`Revoke ${revoking?.name}`}
        action="Revoke key"
        onConfirm={() => revoke.mutateAsync(revoking!)}
      >
        <p>Whatever uses it is refused from now on, and who is signed in here by it is signed out.</p>
      </Confirm>
    </Card>
  );
}

function PlatformCard() {
  const status = useQuery({ ...statusQuery, staleTime: 0, refetchInterval: 5000 }).data;
  return (
    <Card>
      <CardHead title="Platform" hint={status && `${status.home}, since ${moment(status.started_at)}`} />
      {!status ? (
        <Skeleton className="m-5 h-24" />
      ) : (
        <>
          <ul>
            {status.components.map((part) => (
              <li key={part.name} className="grid grid-cols-[1fr_auto] items-baseline gap-x-3 border-b px-5 py-2.5 sm:grid-cols-[7rem_1fr_auto]">
                <span className="font-medium">{part.name}</span>
                <span className="min-w-0 text-[13px] text-muted max-sm:order-last max-sm:col-span-2">{part.detail}</span>
                <Badge tone={part.state === "running" ? "ok" : "bad"}>{part.state}</Badge>
              </li>
            ))}
          </ul>
          <dl className="grid gap-x-6 gap-y-2 p-5 text-[13px] sm:grid-cols-[8rem_1fr]">
            {(
              [
                ["Postgres", `${status.pg_host}:${status.pg_port}`],
                ["SQL over HTTP", `port ${status.sql_port}`],
                ["API", `${status.http_url}/api/v2`],
                ["CA certificate", status.ca_file],
                ["Log", status.log_file],
                ["Isolation", status.isolation ? `${status.isolation.computes}; ${status.isolation.shares}` : ""],
              ] as const
            ).map(([name, value]) => (
              <div key={name} className="contents">
                <dt className="text-muted">{name}</dt>
                <dd className="min-w-0 font-mono text-xs break-all">{value}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
    </Card>
  );
}
