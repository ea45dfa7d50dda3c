// All projects: what there is, what runs, how large it is.
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { Database, Plus, RotateCcw, Search } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { finished, overviewQuery, projectsQuery, recoverableQuery, useChange } from "@/api/queries";
import type { Operation, Overview, Project } from "@/api/types";
import { AccountMenu } from "@/shell/account-menu";
import { openPalette } from "@/shell/palette-state";
import { useCreating } from "@/shell/use-creating";
import { Button, Card, Empty, Field, IconButton, Input, Problem, Select, Skeleton } from "@/ui/basics";
import { ago, bytes, moment, plural } from "@/ui/format";
import { Logo } from "@/ui/logo";
import { Dialog, DialogActions } from "@/ui/overlays";
import { StateLabel } from "@/ui/state";

export function TopBar() {
  return (
    <header className="sticky top-0 z-30 border-b bg-bg/90 backdrop-blur">
      <div className="mx-auto flex h-14 max-w-6xl items-center justify-between px-4 sm:px-8">
        <Link to="/" className="flex items-center gap-2.5 rounded-lg font-semibold tracking-tight">
          <Logo className="size-7" />
          Halogen
        </Link>
        <div className="flex items-center gap-1">
          <IconButton label="Find anything" onClick={openPalette}>
            <Search aria-hidden />
          </IconButton>
          <AccountMenu />
        </div>
      </div>
    </header>
  );
}

export function ProjectsPage() {
  const projects = useQuery(projectsQuery);
  const overview = useQuery(overviewQuery).data;
  const [creating, setCreating] = useCreating("project");
  const [filter, setFilter] = useState("");
  const shown = projects.data?.filter((one) => `${one.name} ${one.id}`.toLowerCase().includes(filter.toLowerCase()));
  return (
    <div className="min-h-dvh">
      <TopBar />
      <main className="mx-auto max-w-6xl px-4 py-8 sm:px-8">
        <div className="mb-6 flex flex-wrap items-center justify-between gap-3">
          <h1 className="text-xl font-semibold">Projects</h1>
          <div className="flex flex-1 items-center justify-end gap-2">
            {(projects.data?.length ?? 0) > 5 && (
              <Input
                aria-label="Filter projects"
                placeholder="Filter"
                className="max-w-52"
                value={filter}
                onChange={(event) => setFilter(event.target.value)}
              />
            )}
            <Button look="solid" icon={<Plus className="size-4" aria-hidden />} onClick={() => setCreating(true)}>
              New project
            </Button>
          </div>
        </div>
        {projects.error && <Problem error={projects.error} retry={() => void projects.refetch()} className="mb-4" />}
        <Card className="overflow-hidden">
          {!projects.data ? (
            <div className="space-y-3 p-5">
              <Skeleton className="h-6 w-1/2" />
              <Skeleton className="h-6 w-2/3" />
            </div>
          ) : projects.data.length === 0 ? (
            <Empty
              icon={<Database aria-hidden />}
              title="No project yet"
              action={
                <Button look="solid" onClick={() => setCreating(true)}>
                  New project
                </Button>
              }
            >
              A project is a PostgreSQL of its own: databases, roles, and as many branches of its data as you like. It takes a second to make one.
            </Empty>
          ) : (
            <ProjectTable projects={shown ?? []} overview={overview} />
          )}
        </Card>
        <Recoverable />
      </main>
      <CreateProject open={creating} onOpenChange={setCreating} />
    </div>
  );
}

function ProjectTable({ projects, overview }: { projects: Project[]; overview: Overview[] | undefined }) {
  if (projects.length === 0) return <p className="p-8 text-center text-sm text-muted">Nothing matches.</p>;
  return (
    <table className="w-full text-left text-sm">
      <thead>
        <tr className="border-b text-xs text-muted [&>th]:px-4 [&>th]:py-2.5 [&>th]:font-medium sm:[&>th]:px-5">
          <th>Name</th>
          <th className="max-sm:hidden">State</th>
          <th className="max-md:hidden">Branches</th>
          <th className="max-sm:hidden">Data</th>
          <th className="max-md:hidden">Storage</th>
          <th className="text-right max-sm:hidden">Last active</th>
        </tr>
      </thead>
      <tbody>
        {projects.map((project) => {
          const about = overview?.find((one) => one.project_id === project.id);
          const active = about?.computes.active ?? 0;
          const state = active > 0 ? "active" : about?.computes.starting ? "starting" : "idle";
          return (
            <tr key={project.id} className="relative border-b transition-colors last:border-0 hover:bg-sunken [&>td]:px-4 [&>td]:py-3 sm:[&>td]:px-5">
              <td>
                <Link
                  to="/projects/$project"
                  params={{ project: project.id }}
                  className="font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-glow"
                >
                  {project.name}
                </Link>
                <p className="text-xs text-muted">
                  <span className="max-sm:hidden">
                    {project.id} · PostgreSQL {project.pg_version}
                  </span>
                  <span className="flex items-center gap-2 sm:hidden">
                    <StateLabel state={state} /> · {plural(about?.branches ?? 0, "branch")} · {bytes(about?.logical_bytes)}
                  </span>
                </p>
              </td>
              <td className="max-sm:hidden">
                <StateLabel state={state} />
              </td>
              <td className="tabular max-md:hidden">{about?.branches ?? "–"}</td>
              <td className="tabular max-sm:hidden">{bytes(about?.logical_bytes)}</td>
              <td className="tabular max-md:hidden">{bytes(about?.own_bytes)}</td>
              <td className="text-right text-muted max-sm:hidden">
                {active > 0 ? "now" : about?.last_active_at ? ago(about.last_active_at) : "never"}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Recoverable() {
  const deleted = useQuery(recoverableQuery).data ?? [];
  const recover = useChange(
    (project: Project) => http.post(path`/projects/${project.id}/recover`),
    (_, project) => toast.success(`${project.name} is back.`),
  );
  if (deleted.length === 0) return null;
  return (
    <section className="mt-10">
      <h2 className="mb-3 text-sm font-semibold">Deleted, with a way back</h2>
      <Card>
        {deleted.map((project) => (
          <div key={project.id} className="flex flex-wrap items-center justify-between gap-3 border-b px-5 py-3 last:border-0">
            <div>
              <p className="font-medium">{project.name}</p>
              <p className="text-xs text-muted">until {moment(project.recoverable_until!)}</p>
            </div>
            <Button
              size="sm"
              icon={<RotateCcw className="size-4" aria-hidden />}
              aria-label={`Recover ${project.name}`}
              busy={recover.isPending && recover.variables.id === project.id}
              onClick={() => recover.mutate(project)}
            >
              Recover
            </Button>
          </div>
        ))}
        {recover.error && <Problem error={recover.error} className="m-3" />}
      </Card>
    </section>
  );
}

export const timeouts = [
  { value: 0, name: "5 minutes (default)" },
  { value: 5, name: "5 seconds" },
  { value: 60, name: "1 minute" },
  { value: 900, name: "15 minutes" },
  { value: 3600, name: "1 hour" },
  { value: 86400, name: "1 day" },
  { value: -1, name: "Never" },
];

const windows = [
  { value: 86400, name: "1 day" },
  { value: 604800, name: "7 days (default)" },
  { value: 2592000, name: "30 days" },
];

function CreateProject({ open, onOpenChange }: { open: boolean; onOpenChange: (open: boolean) => void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [timeout, setTimeout] = useState(0);
  const [history, setHistory] = useState(604800);
  const create = useChange(
    async () => {
      const answer = await http.post<{ project: Project; operations: Operation[] }>("/api/v2/projects", {
        project: {
          name: name.trim(),
          pg_version: 15,
          history_retention_seconds: history,
          default_endpoint_settings: { suspend_timeout_seconds: timeout },
        },
      });
      await finished(answer.project.id, answer.operations);
      return answer.project;
    },
    (project) => {
      onOpenChange(false);
      setName("");
      void navigate({ to: "/projects/$project", params: { project: project.id }, search: { connect: true } });
    },
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    create.mutate(undefined);
  }
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="New project" description="A PostgreSQL of its own, ready in about a second.">
      <form onSubmit={submit} className="space-y-4">
        <Field label="Name">
          {(props) => <Input {...props} autoFocus maxLength={64} placeholder="shop" value={name} onChange={(event) => setName(event.target.value)} />}
        </Field>
        <div className="grid gap-4 sm:grid-cols-3">
          <Field label="PostgreSQL">
            {(props) => (
              <Select {...props} defaultValue="15">
                <option value="15">15</option>
              </Select>
            )}
          </Field>
          <Field label="Suspend after">
            {(props) => (
              <Select {...props} value={timeout} onChange={(event) => setTimeout(Number(event.target.value))}>
                {timeouts.map((one) => (
                  <option key={one.value} value={one.value}>
                    {one.name}
                  </option>
                ))}
              </Select>
            )}
          </Field>
          <Field label="History window">
            {(props) => (
              <Select {...props} value={history} onChange={(event) => setHistory(Number(event.target.value))}>
                {windows.map((one) => (
                  <option key={one.value} value={one.value}>
                    {one.name}
                  </option>
                ))}
              </Select>
            )}
          </Field>
        </div>
        <p className="text-[13px] text-muted">
          A suspended compute costs nothing and wakes on the next query, in about a tenth of a second. Within the history window every moment can be looked at and restored.
        </p>
        {create.error && <Problem error={create.error} />}
        <DialogActions>
          <Button onClick={() => onOpenChange(false)}>Cancel</Button>
          <Button type="submit" look="solid" busy={create.isPending} disabled={name.trim() === ""}>
            Create project
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
