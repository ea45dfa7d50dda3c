// How a compute rests, how large it is, and what its Postgres and its pooler are told.
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { useChange } from "@/api/queries";
import type { Endpoint, Project } from "@/api/types";
import { Card, CardHead, Field, Select, Switch, TextArea } from "@/ui/basics";
import { seconds } from "@/ui/format";
import { timeouts } from "./projects";
import { Save } from "./settings-parts";

// Lines of "name = value".
const lines = (settings: Record<string, unknown> | undefined) =>
  Object.entries(settings ?? {})
    .map(([name, value]) => `${name} = ${String(value)}`)
    .join("\n");

function parsed(text: string): Record<string, string> {
  return Object.fromEntries(
    text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const at = line.indexOf("=");
        const value = at < 0 ? "" : line.slice(at + 1).trim();
        return [at < 0 ? line : line.slice(0, at).trim(), value.replace(/^'(.*)'$/, "$1")];
      }),
  );
}

const sizes = [0.25, 0.5, 1, 2, 4, 8]; // Of Neon's compute units.

export function ComputeSettings({ project, endpoint, branch }: { project: Project; endpoint: Endpoint; branch: string }) {
  const [timeout, setTimeout] = useState(endpoint.suspend_timeout_seconds);
  const [size, setSize] = useState(endpoint.autoscaling_limit_max_cu);
  const [postgres, setPostgres] = useState(lines(endpoint.settings.pg_settings));
  const [pooler, setPooler] = useState(lines(endpoint.settings.pgbouncer_settings));
  const [outgoing, setOutgoing] = useState(endpoint.settings.outgoing_traffic ?? false);
  const save = useChange(
    () =>
      http.patch(path`/projects/${project.id}/endpoints/${endpoint.id}`, {
        endpoint: {
          suspend_timeout_seconds: timeout,
          ...(size !== endpoint.autoscaling_limit_max_cu && {
            autoscaling_limit_max_cu: size,
            autoscaling_limit_min_cu: Math.min(size, endpoint.autoscaling_limit_min_cu),
          }),
          settings: { pg_settings: parsed(postgres), pgbouncer_settings: parsed(pooler), outgoing_traffic: outgoing },
        },
      }),
    () => toast.success("Saved. PostgreSQL settings count from the compute's next start."),
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    save.mutate(undefined);
  }
  const changed =
    timeout !== endpoint.suspend_timeout_seconds ||
    size !== endpoint.autoscaling_limit_max_cu ||
    postgres !== lines(endpoint.settings.pg_settings) ||
    pooler !== lines(endpoint.settings.pgbouncer_settings) ||
    outgoing !== (endpoint.settings.outgoing_traffic ?? false);
  const listed = timeouts.some((one) => one.value === timeout) ? timeouts : [{ value: timeout, name: seconds(timeout) }, ...timeouts];
  const ignored = Object.entries(endpoint.settings.pg_settings_ignored ?? {});
  return (
    <Card>
      <CardHead title={`Compute of ${branch}`} hint={endpoint.id} />
      <form onSubmit={submit} className="space-y-4 p-5">
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label="Suspend after" hint="Idle connections do not keep it awake, and stay open.">
            {(props) => (
              <Select {...props} value={timeout} onChange={(event) => setTimeout(Number(event.target.value))}>
                {listed.map((one) => (
                  <option key={one.value} value={one.value}>
                    {one.name}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          <Field label="Size" hint="Connections and shared buffers grow with it. From its next start.">
            {(props) => (
              <Select {...props} value={size} onChange={(event) => setSize(Number(event.target.value))}>
                {[...new Set([...sizes, endpoint.autoscaling_limit_max_cu])].sort((a, b) => a - b).map((one) => (
                  <option key={one} value={one}>
                    {one} {one === 1 ? "unit" : "units"}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        <div className="grid gap-4 sm:grid-cols-2">
          <Field label="PostgreSQL settings" hint="Count from its next start. One a line.">
            {(props) => <TextArea {...props} className="font-mono text-[13px]" placeholder="work_mem = 64MB" value={postgres} onChange={(event) => setPostgres(event.target.value)} />}
          </Field>
          <Field label="Pooler settings" hint="Named as PgBouncer's; count at once.">
            {(props) => <TextArea {...props} className="font-mono text-[13px]" placeholder="default_pool_size = 20" value={pooler} onChange={(event) => setPooler(event.target.value)} />}
          </Field>
        </div>
        {ignored.length > 0 && <p className="text-[13px] text-warn">Not in force: {ignored.map(([name, why]) => `${name} (${why})`).join(", ")}.</p>}
        <div className="flex items-center gap-3 text-sm">
          <Switch checked={outgoing} onChange={setOutgoing} label="Outgoing connections" />
          <span>
            The compute may make connections itself <span className="text-muted">(postgres_fdw, dblink)</span>
          </span>
        </div>
        <Save busy={save.isPending} error={save.error} disabled={!changed} />
      </form>
    </Card>
  );
}
