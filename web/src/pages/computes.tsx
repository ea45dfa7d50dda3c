// The computes of a branch: the one that writes, and read replicas.
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { CopyPlus, Cpu, Plug } from "lucide-react";
import { type FormEvent, useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { finished, poolerQuery, useChange } from "@/api/queries";
import type { Answer, Branch, Endpoint } from "@/api/types";
import { useCompute, useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { useCreating } from "@/shell/use-creating";
import { Badge, Button, Card, CopyButton, Empty, Field, Input, Problem, Select, Skeleton } from "@/ui/basics";
import { count, moment, suspendTimeout } from "@/ui/format";
import { AddCompute } from "@/ui/needs-compute";
import { Dialog, DialogActions } from "@/ui/overlays";
import { StateLabel } from "@/ui/state";
import { ComputeActions, WhatKeepsAwake } from "./compute";
import { timeouts } from "./projects";

export function ComputesPage() {
  const { project, branch, endpoints } = useCurrent();
  const [adding, setAdding] = useCreating("replica");
  const ofBranch = endpoints?.filter((one) => one.branch_id === branch?.id) ?? [];
  const primary = ofBranch.find((one) => one.type === "read_write");
  const replicas = ofBranch.filter((one) => one.type === "read_only");
  return (
    <>
      <PageHead title="Computes" hint={`What takes connections to ${branch?.name ?? "the branch"}. Asleep they cost nothing, and wake with the first query.`}>
        <Button look="solid" icon={<CopyPlus className="size-4" aria-hidden />} disabled={!branch} onClick={() => setAdding(true)}>
          New read replica
        </Button>
      </PageHead>
      <PageBody>
        {!endpoints || !branch ? (
          <Skeleton className="h-40" />
        ) : (
          <>
            {primary ? (
              <ComputeCard project={project} endpoint={primary} />
            ) : (
              <Card>
                <AddCompute />
              </Card>
            )}
            <section className="space-y-4">
              <h2 className="text-sm font-semibold">Read replicas</h2>
              {replicas.map((one) => (
                <ComputeCard key={one.id} project={project} endpoint={one} />
              ))}
              {replicas.length === 0 && (
                <Card>
                  <Empty icon={<CopyPlus aria-hidden />} title="No read replicas">
                    A read replica is a compute of its own on the same data: nothing is copied. For reports and dashboards that shall not slow down the
                    application.
                  </Empty>
                </Card>
              )}
            </section>
          </>
        )}
      </PageBody>
      {adding && branch && <AddReplica project={project} branch={branch} onClose={() => setAdding(false)} />}
    </>
  );
}

function ComputeCard({ project, endpoint }: { project: string; endpoint: Endpoint }) {
  const navigate = useNavigate();
  const { compute, state } = useCompute(project, endpoint.id);
  const pooler = useQuery(poolerQuery(project, endpoint.id)).data;
  const clients = pooler ? Object.values(pooler.clients).reduce((sum, one) => sum + one, 0) : 0;
  const replica = endpoint.type === "read_only";
  return (
    <Card>
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2 border-b px-4 py-3 sm:px-5" data-compute={endpoint.id}>
        <Cpu className="size-4 text-muted" aria-hidden />
        <h3 className="min-w-0 truncate text-sm font-semibold">{endpoint.name || (replica ? "Read replica" : "Primary")}</h3>
        <Badge tone={replica ? "info" : "accent"}>{replica ? "reads" : "reads and writes"}</Badge>
        {endpoint.disabled && <Badge tone="bad">disabled</Badge>}
        <div className="ml-auto flex items-center gap-2">
          <Button
            size="sm"
            icon={<Plug className="size-3.5" aria-hidden />}
            onClick={() => void navigate({ to: ".", search: (before: object) => ({ ...before, compute: endpoint.id, connect: true }) })}
          >
            Connect
          </Button>
          <ComputeActions project={project} endpoint={endpoint} state={state} />
        </div>
      </div>
      <dl className="grid grid-cols-2 gap-x-4 gap-y-4 px-4 py-4 sm:grid-cols-4 sm:px-5 [&_dt]:text-xs [&_dt]:text-muted">
        <div>
          <dt>State</dt>
          <dd className="mt-1">
            <StateLabel state={state} />
          </dd>
        </div>
        <div>
          <dt>Clients</dt>
          <dd className="tabular mt-1 text-sm font-semibold">{count(clients)}</dd>
        </div>
        <div>
          <dt>Idle</dt>
          <dd className="mt-1 text-[13px]">{suspendTimeout(endpoint.suspend_timeout_seconds)}</dd>
        </div>
        <div className="min-w-0">
          <dt>Id</dt>
          <dd className="flex min-w-0 items-center">
            <span className="truncate font-mono text-xs">{endpoint.id}</span>
            <CopyButton text={endpoint.id} label="Copy compute id" />
          </dd>
        </div>
      </dl>
      <div className="space-y-1.5 border-t px-4 py-3 sm:px-5">
        <WhatKeepsAwake compute={compute} state={state} timeout={endpoint.suspend_timeout_seconds} />
        {replica && (
          <p className="text-[13px] text-muted">
            {state === "idle" || !compute?.started_at
              ? "Shows the branch as it will be when it wakes."
              : `Shows the branch as it was when it woke, ${moment(compute.started_at)}. A restart brings it up to date.`}
          </p>
        )}
      </div>
    </Card>
  );
}

function AddReplica({ project, branch, onClose }: { project: string; branch: Branch; onClose: () => void }) {
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [timeout, setTimeout] = useState(0);
  const add = useChange(
    async () => {
      const answer = await http.post<Answer<"createProjectEndpoint">>(path`/projects/${project}/endpoints`, {
        endpoint: {
          branch_id: branch.id,
          type: "read_only",
          suspend_timeout_seconds: timeout,
          ...(name.trim() && { name: name.trim() }),
        },
      });
      await finished(project, answer.operations);
      return answer.endpoint;
    },
    (endpoint) => {
      onClose();
      toast.success("The read replica is there.", {
        action: {
          label: "Connect",
          onClick: () => void navigate({ to: ".", search: (before: object) => ({ ...before, compute: endpoint.id, connect: true }) }),
        },
      });
    },
  );
  function submit(event: FormEvent) {
    event.preventDefault();
    add.mutate(undefined);
  }
  return (
    <Dialog
      open
      onOpenChange={(open) => !open && onClose()}
      title="New read replica"
      description={`Of ${branch.name}. It has a connection string of its own, and refuses to write.`}
    >
      <form onSubmit={submit} className="space-y-4">
        <Field label="Name" hint="For you to know it by.">
          {(props) => <Input {...props} autoFocus maxLength={64} placeholder="reports" value={name} onChange={(event) => setName(event.target.value)} />}
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
        {add.error && <Problem error={add.error} />}
        <DialogActions>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={add.isPending}>
            Create replica
          </Button>
        </DialogActions>
      </form>
    </Dialog>
  );
}
