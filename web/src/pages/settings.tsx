// A project's name, who may connect, how its computes rest, and its end.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { projectQuery, useChange } from "@/api/queries";
import type { Project } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { Badge, Button, Card, CardHead, Field, Input, Select, Skeleton, Switch, TextArea } from "@/ui/basics";
import { seconds } from "@/ui/format";
import { Confirm } from "@/ui/overlays";
import { ComputeSettings } from "./compute-settings";
import { PreloadLibraries } from "./preload-libraries";
import { Quotas } from "./quotas";
import { Save } from "./settings-parts";

// A form begins anew when what it is about is another, and keeps what is being typed when the rest is.
const state = (...about: unknown[]) => JSON.stringify(about);

export function SettingsPage() {
  const { project, branch, endpoint } = useCurrent();
  const about = useQuery(projectQuery(project)).data;
  return (
    <>
      <PageHead title="Settings" />
      <PageBody className="max-w-3xl">
        {!about ? (
          <Skeleton className="h-40" />
        ) : (
          <>
            <General key={state("name", about.name, about.history_retention_seconds)} project={about} />
            <AllowList key={state("ips", about.settings?.allowed_ips)} project={about} />
            <PreloadLibraries key={state("libraries", about.settings?.preload_libraries)} project={about} />
            <Quotas key={state("quotas", about.settings?.quota)} project={about} />
            {endpoint && <ComputeSettings key={endpoint.id} project={about} endpoint={endpoint} branch={branch?.name ?? ""} />}
            <Deletion project={about} />
          </>
        )}
      </PageBody>
    </>
  );
}

function usePatchProject(project: Project) {
  return useChange(
    (body: object) => http.patch(path`/projects/${project.id}`, { project: body }),
    () => toast.success("Saved."),
  );
}

function General({ project }: { project: Project }) {
  const [name, setName] = useState(project.name);
  const [window, setWindow] = useState(project.history_retention_seconds);
  const save = usePatchProject(project);
  function submit(event: FormEvent) {
    event.preventDefault();
    save.mutate({
      ...(name.trim() !== project.name && { name: name.trim() }),
      ...(window !== project.history_retention_seconds && { history_retention_seconds: window }),
    });
  }
  const days = [0, 6 * 3600, 86400, 7 * 86400, 30 * 86400].concat([project.history_retention_seconds]);
  return (
    <Card>
      <CardHead title="General" />
      <form onSubmit={submit} className="space-y-4 p-5">
        <Field label="Name">{(props) => <Input {...props} value={name} onChange={(event) => setName(event.target.value)} />}</Field>
        <Field label="History window" hint="How far back branches, restores and looks can reach.">
          {(props) => (
            <Select {...props} value={window} onChange={(event) => setWindow(Number(event.target.value))}>
              {[...new Set(days)]
                .sort((a, b) => a - b)
                .map((one) => (
                  <option key={one} value={one}>
                    {one === 0 ? "None" : one % 86400 === 0 ? `${one / 86400} ${one === 86400 ? "day" : "days"}` : seconds(one)}
                  </option>
                ))}
            </Select>
          )}
        </Field>
        <Save
          busy={save.isPending}
          error={save.error}
          disabled={name.trim() === "" || (name.trim() === project.name && window === project.history_retention_seconds)}
        />
      </form>
    </Card>
  );
}

function AllowList({ project }: { project: Project }) {
  const { ips: allowed = [], protected_branches_only: onlyProtected = false } = project.settings?.allowed_ips ?? {};
  const [text, setText] = useState(allowed.join("\n"));
  const [only, setOnly] = useState(onlyProtected);
  const save = usePatchProject(project);
  const ips = text.split(/[\s,]+/).filter(Boolean);
  const changed = ips.join("\n") !== allowed.join("\n") || only !== onlyProtected;
  function submit(event: FormEvent) {
    event.preventDefault();
    save.mutate({ settings: { allowed_ips: { ips, protected_branches_only: only } } });
  }
  return (
    <Card>
      <CardHead title="IP allow-list" hint="From where clients may connect. It counts at once, for new connections.">
        <Badge tone={allowed.length ? "ok" : "neutral"}>{allowed.length ? `${allowed.length} allowed` : "everybody"}</Badge>
      </CardHead>
      <form onSubmit={submit} className="space-y-4 p-5">
        <Field label="Addresses and networks" hint="One a line: 203.0.113.7, 10.0.0.0/8, 198.51.100.20-198.51.100.30, 2001:db8::/32. Empty: from anywhere. The console itself connects from this machine (127.0.0.1).">
          {(props) => <TextArea {...props} className="font-mono" placeholder="Everybody may connect" value={text} onChange={(event) => setText(event.target.value)} />}
        </Field>
        <label className="flex items-center gap-3 text-sm">
          <Switch checked={only} onChange={setOnly} label="Only for protected branches" />
          Only for protected branches
        </label>
        <Save busy={save.isPending} error={save.error} disabled={!changed} />
      </form>
    </Card>
  );
}

function Deletion({ project }: { project: Project }) {
  const navigate = useNavigate();
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const remove = useChange(
    () => http.delete<{ project?: Project }>(path`/projects/${project.id}`),
    async (answer) => {
      await navigate({ to: "/" });
      client.removeQueries({ queryKey: ["project", project.id] });
      toast.success(answer.project?.recoverable_until ? `${project.name} is deleted; the list of projects has a way back.` : `${project.name} is deleted.`);
    },
  );
  return (
    <Card className="border-bad/40">
      <CardHead title="Delete this project" hint="All its branches, databases and computes.">
        <Button look="danger" size="sm" icon={<Trash2 className="size-4" aria-hidden />} onClick={() => setAsking(true)}>
          Delete project
        </Button>
      </CardHead>
      <Confirm
        open={asking}
        onOpenChange={setAsking}
        title={`Delete ${project.name}`}
        action="Delete project"
        typed={project.name}
        onConfirm={() => remove.mutateAsync(undefined)}
      >
        <p>Everything in it goes: all branches, all data, all connection strings. Whoever is connected is disconnected.</p>
      </Confirm>
    </Card>
  );
}
