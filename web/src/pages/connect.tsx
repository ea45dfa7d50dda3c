// The dialog that everybody copies from.
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import clsx from "clsx";
import { RefreshCw } from "lucide-react";
import { useEffect, useMemo, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { databasesQuery, finished, passwordQuery, rolesQuery, statusQuery, useChange } from "@/api/queries";
import type { Operation } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { snippets } from "@/snippets/snippets";
import { Button, CopyButton, Field, Problem, Select, Skeleton, Switch } from "@/ui/basics";
import { NeedsCompute } from "@/ui/needs-compute";
import { Confirm, Dialog } from "@/ui/overlays";
import { SnippetPanel } from "./connect-snippet";

interface Props {
  open: boolean;
  onOpenChange: (open: boolean) => void;
}

export function ConnectDialog({ open, onOpenChange }: Props) {
  return (
    <Dialog open={open} onOpenChange={onOpenChange} wide title="Connect" description="Copy this into your application, your terminal or your .env.">
      {open && (
        <NeedsCompute>
          <Connect />
        </NeedsCompute>
      )}
    </Dialog>
  );
}

// What a role or a database may be called that is shown first.
const first = <T extends { name: string }>(all: T[] | undefined, wanted: string, usual: string) =>
  all?.find((one) => one.name === wanted) ?? all?.find((one) => one.name === usual) ?? all?.[0];

function Connect() {
  const { project } = useParams({ from: "/projects/$project" });
  const { branches, branch, endpoints } = useCurrent();
  const { compute: wantedEndpoint } = useSearch({ from: "/projects/$project" });
  const navigate = useNavigate();
  const choose = (change: object) => void navigate({ to: ".", search: (before: object) => ({ ...before, ...change }), replace: true });
  const [wantedRole, setRole] = useState("");
  const [wantedDatabase, setDatabase] = useState("");
  const [pooled, setPooled] = useState(true);
  const [resetting, setResetting] = useState(false);
  const [chosen, setChosen] = useState(() => localStorage.getItem("halogen.snippet") ?? "psql");

  const branchId = branch?.id ?? "";
  const computes = endpoints?.filter((one) => one.branch_id === branchId) ?? [];
  const endpoint = computes.find((one) => one.id === wantedEndpoint) ?? computes.find((one) => one.type === "read_write") ?? computes[0];
  const roles = useQuery(rolesQuery(project, branchId));
  const databases = useQuery(databasesQuery(project, branchId));
  const logins = roles.data?.filter((one) => one.authentication_method !== "no_login");
  const database = first(databases.data, wantedDatabase, "neondb");
  const role = first(logins, wantedRole, database?.owner_name ?? "neondb_owner");
  const password = useQuery(passwordQuery(project, branchId, role?.name ?? ""));
  const status = useQuery(statusQuery).data;
  const uri = useQuery({
    queryKey: ["project", project, "uri", branchId, endpoint?.id, database?.name, role?.name, pooled, password.data],
    queryFn: async ({ signal }) =>
      (
        await http.get<{ uri: string }>(
          path`/projects/${project}/connection_uri` +
            `?branch_id=${encodeURIComponent(branchId)}&endpoint_id=${encodeURIComponent(endpoint!.id)}` +
            `&database_name=${encodeURIComponent(database!.name)}&role_name=${encodeURIComponent(role!.name)}&pooled=${pooled}`,
          signal,
        )
      ).uri,
    enabled: Boolean(endpoint && database && role),
  });
  const reset = useChange(async () => {
    const answer = await http.post<{ operations: Operation[] }>(path`/projects/${project}/branches/${branchId}/roles/${role!.name}/reset_password`);
    await finished(project, answer.operations);
  }, () => toast.success("The password is a new one. Connections that use the old one must change."));

  const all = useMemo(
    () =>
      uri.data && status
        ? snippets({ uri: uri.data, password: password.data ?? null, caFile: status.ca_file, sqlPort: status.sql_port })
        : [],
    [uri.data, status, password.data],
  );
  const snippet = all.find((one) => one.id === chosen) ?? all[0];
  useEffect(() => localStorage.setItem("halogen.snippet", chosen), [chosen]);
  const error = roles.error ?? databases.error ?? uri.error;

  return (
    <div className="space-y-5">
      <div className="grid grid-cols-2 gap-3 sm:grid-cols-4">
        <Field label="Branch">
          {(props) => (
            <Select
              {...props}
              value={branchId}
              onChange={(event) => choose({ branch: event.target.value, compute: undefined })}
            >
              {branches?.map((one) => (
                <option key={one.id} value={one.id}>
                  {one.name}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Compute">
          {(props) => (
            <Select {...props} value={endpoint?.id ?? ""} onChange={(event) => choose({ compute: event.target.value })}>
              {computes.map((one) => (
                <option key={one.id} value={one.id}>
                  {one.name || (one.type === "read_only" ? "Replica" : "Primary")}, {one.id}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Database">
          {(props) => (
            <Select {...props} value={database?.name ?? ""} onChange={(event) => setDatabase(event.target.value)}>
              {databases.data?.map((one) => <option key={one.name}>{one.name}</option>)}
            </Select>
          )}
        </Field>
        <Field label="Role">
          {(props) => (
            <Select {...props} value={role?.name ?? ""} onChange={(event) => setRole(event.target.value)}>
              {logins?.map((one) => <option key={one.name}>{one.name}</option>)}
            </Select>
          )}
        </Field>
      </div>

      <div className="flex items-start gap-3 rounded-lg border bg-sunken px-3.5 py-3">
        <Switch checked={pooled} onChange={setPooled} label="Pooled connection" />
        <p className="text-[13px] text-muted">
          <span className="font-medium text-ink">{pooled ? "Pooled." : "Direct."}</span>{" "}
          {pooled
            ? "Thousands of clients share a few server connections; settings, prepared statements, LISTEN and migrations work all the same. Right for almost everything."
            : "Each client has a server connection of its own while the compute runs. Almost never needed: for logical replication, or tools that insist."}
        </p>
      </div>

      {error ? (
        <Problem error={error} />
      ) : (
        <div className="space-y-3">
          <div className="scroll-thin -mx-1 flex gap-1 overflow-x-auto px-1 pb-1 sm:flex-wrap" role="tablist" aria-label="For what">
            {all.map((one) => (
              <button
                key={one.id}
                type="button"
                role="tab"
                aria-selected={one.id === snippet?.id}
                onClick={() => setChosen(one.id)}
                className={clsx(
                  "h-7 shrink-0 rounded-full border px-2.5 text-xs font-medium transition-colors",
                  one.id === snippet?.id ? "border-transparent bg-solid text-solid-ink" : "bg-surface text-muted hover:bg-hover hover:text-ink",
                )}
              >
                {one.name}
              </button>
            ))}
          </div>
          {snippet ? (
            <SnippetPanel key={snippet.id} snippet={snippet} password={password.data} onShowEnv={() => setChosen("env")} />
          ) : (
            <Skeleton className="h-28" />
          )}
        </div>
      )}

      <div className="flex flex-wrap items-center justify-between gap-3 border-t pt-4">
        <div className="flex min-w-0 items-center gap-2 text-[13px] text-muted">
          <span className="shrink-0">Connection string</span>
          {uri.data && <CopyButton text={uri.data} label="Copy connection string" />}
        </div>
        <Button size="sm" icon={<RefreshCw className="size-3.5" aria-hidden />} onClick={() => setResetting(true)} disabled={!role}>
          Reset password
        </Button>
      </div>
      <Confirm
        open={resetting}
        onOpenChange={setResetting}
        title={`Reset the password of ${role?.name}`}
        action="Reset password"
        onConfirm={() => reset.mutateAsync(undefined)}
      >
        <p>The role gets a new password at once. Whatever connects with the old one will be refused until it has the new one; open connections stay.</p>
      </Confirm>
    </div>
  );
}
