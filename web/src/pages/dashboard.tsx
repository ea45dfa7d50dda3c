// A project at a glance: what runs, what it holds, what happened.
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ArrowRight, History, SquareTerminal, Table2 } from "lucide-react";
import { operationsQuery, poolerQuery, projectOverviewQuery, useProject } from "@/api/queries";
import { useCompute, useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { Card, CardHead, CopyButton, Skeleton } from "@/ui/basics";
import { ago, count, suspendTimeout } from "@/ui/format";
import { BranchTree } from "./branch-tree";
import { ComputeActions, WhatKeepsAwake } from "./compute";
import { ComputeList } from "./compute-list";
import { OperationRow } from "./operations";
import { StorageCard } from "./storage-card";
import { AddCompute } from "@/ui/needs-compute";
import { StateLabel } from "@/ui/state";

export function DashboardPage() {
  const { project, branches, branch, endpoints } = useCurrent();
  const about = useProject(project).data;
  const overview = useQuery(projectOverviewQuery(project));
  return (
    <>
      <PageHead
        title={about?.name ?? "…"}
        hint={
          about && (
            <span className="inline-flex flex-wrap items-center gap-x-2">
              PostgreSQL {about.pg_version} · made {ago(about.created_at)}
              <span className="inline-flex items-center font-mono text-xs">
                {about.id} <CopyButton text={about.id} label="Copy project id" />
              </span>
            </span>
          )
        }
      />
      <PageBody>
        <div className="grid gap-6 lg:grid-cols-5">
          <div className="lg:col-span-3">
            <ComputeCard />
          </div>
          <div className="lg:col-span-2">
            <StorageCard />
          </div>
        </div>
        <Card>
          <CardHead title="Branches" hint="Each begins at a moment of its parent, and costs only what it changes.">
            <Link
              to="/projects/$project/branches"
              params={{ project }}
              search={branch ? { branch: branch.id } : {}}
              className="inline-flex items-center gap-1 rounded text-[13px] font-medium text-muted hover:text-ink"
            >
              All branches <ArrowRight className="size-3.5" aria-hidden />
            </Link>
          </CardHead>
          {branches ? <BranchTree branches={branches} overview={overview.data} /> : <Skeleton className="m-5 h-24" />}
        </Card>
        {endpoints && endpoints.length > 1 && branches && (
          <Card>
            <CardHead title="Computes" hint="Awake ones first, and what keeps them awake." />
            <ComputeList project={project} endpoints={endpoints} branches={branches} computes={overview.data?.computes ?? []} />
          </Card>
        )}
        <RecentOperations />
      </PageBody>
    </>
  );
}

function ComputeCard() {
  const { project, branch, endpoints, endpoint } = useCurrent();
  const { compute, state } = useCompute(project, endpoint?.id);
  const pooler = useQuery(poolerQuery(project, endpoint?.id ?? "")).data;
  const clients = pooler ? Object.values(pooler.clients).reduce((sum, one) => sum + one, 0) : 0;
  if (branch && endpoints && !endpoint)
    return (
      <Card className="h-full">
        <AddCompute />
      </Card>
    );
  return (
    <Card className="flex h-full flex-col">
      <CardHead title={<>Compute of {branch?.name ?? "…"}</>} hint={endpoint && suspendTimeout(endpoint.suspend_timeout_seconds)}>
        {endpoint && <ComputeActions project={project} endpoint={endpoint} state={state} />}
      </CardHead>
      <div className="grid flex-1 grid-cols-2 gap-x-4 gap-y-5 px-5 py-5 sm:grid-cols-4">
        <Fact name="State">
          <StateLabel state={state} />
        </Fact>
        <Fact name="Clients">{count(clients)}</Fact>
        <Fact name="Waiting or at work">
          {count((pooler?.clients.active ?? 0) + (pooler?.clients.waiting ?? 0) + (pooler?.clients.waking ?? 0))}
        </Fact>
        <Fact name="Wakes">{count(pooler?.wakes ?? 0)}</Fact>
      </div>
      <div className="border-t px-5 py-3">
        <WhatKeepsAwake compute={compute} state={state} timeout={endpoint?.suspend_timeout_seconds ?? 0} />
      </div>
      <div className="flex flex-wrap gap-x-5 gap-y-2 border-t px-5 py-3 text-[13px] font-medium">
        {(
          [
            ["/projects/$project/sql", "SQL Editor", SquareTerminal],
            ["/projects/$project/tables", "Tables", Table2],
            ["/projects/$project/restore", "Restore", History],
          ] as const
        ).map(([to, name, Icon]) => (
          <Link
            key={to}
            to={to}
            params={{ project }}
            search={branch ? { branch: branch.id } : {}}
            className="inline-flex items-center gap-1.5 rounded text-muted hover:text-ink"
          >
            <Icon className="size-4" aria-hidden /> {name}
          </Link>
        ))}
      </div>
    </Card>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  return (
    <div>
      <p className="text-xs text-muted">{name}</p>
      <div className="tabular mt-1 text-[15px] font-semibold">{children}</div>
    </div>
  );
}

function RecentOperations() {
  const { project, branches } = useCurrent();
  const operations = useQuery(operationsQuery(project)).data;
  if (!operations?.length) return null;
  return (
    <Card>
      <CardHead title="Lately">
        <Link
          to="/projects/$project/operations"
          params={{ project }}
          className="inline-flex items-center gap-1 rounded text-[13px] font-medium text-muted hover:text-ink"
        >
          All operations <ArrowRight className="size-3.5" aria-hidden />
        </Link>
      </CardHead>
      <table className="w-full text-sm">
        <tbody>
          {operations.slice(0, 5).map((operation) => (
            <OperationRow key={operation.id} operation={operation} branches={branches} />
          ))}
        </tbody>
      </table>
    </Card>
  );
}

