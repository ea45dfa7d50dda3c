// What the platform has done in a project, newest first.
import { useQuery } from "@tanstack/react-query";
import { ScrollText } from "lucide-react";
import { useState } from "react";
import { operationsQuery } from "@/api/queries";
import type { Branch, Operation } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { Badge, Card, Empty, Problem, Select, Skeleton, Tip } from "@/ui/basics";
import { ago, milliseconds, moment } from "@/ui/format";

const names: Record<string, string> = {
  create_timeline: "Project created",
  create_branch: "Branch created",
  create_compute: "Compute made",
  swap_binding_id: "Branch took another's place",
  delete_timeline: "Branch deleted",
  start_compute: "Compute woken",
  suspend_compute: "Compute suspended",
  restore_branch: "Branch restored",
  apply_config: "Configuration applied",
  timeline_unarchive: "Branch unarchived",
};

export const operationName = (action: string) =>
  names[action] ?? action.charAt(0).toUpperCase() + action.slice(1).replaceAll("_", " ");

const failed = (operation: Operation) => ["failed", "error"].includes(operation.status);

export function OperationRow({ operation, branches }: { operation: Operation; branches: Branch[] | undefined }) {
  const branch = branches?.find((one) => one.id === operation.branch_id);
  const tone = operation.status === "finished" ? "ok" : failed(operation) ? "bad" : "warn";
  return (
    <tr className="border-b last:border-0 [&>td]:px-4 [&>td]:py-2.5 sm:[&>td]:px-5">
      <td className="w-1/2">
        <p className="font-medium">{operationName(operation.action)}</p>
        {operation.error && <p className="text-xs break-words text-bad">{operation.error}</p>}
      </td>
      <td className="text-muted max-sm:hidden">{branch?.name ?? operation.branch_id ?? ""}</td>
      <td>
        <Badge tone={tone}>{operation.status}</Badge>
      </td>
      <td className="tabular text-right text-muted max-sm:hidden">{milliseconds(operation.total_duration_ms)}</td>
      <td className="text-right whitespace-nowrap text-muted">
        <Tip text={moment(operation.created_at)}>
          <span>{ago(operation.created_at)}</span>
        </Tip>
      </td>
    </tr>
  );
}

const kinds: { name: string; has: (operation: Operation) => boolean }[] = [
  { name: "Everything", has: () => true },
  { name: "Computes", has: (one) => one.action.endsWith("_compute") },
  { name: "Branches", has: (one) => !one.action.endsWith("_compute") },
  { name: "Failures", has: (one) => failed(one) },
];

export function OperationsPage() {
  const { project, branches } = useCurrent();
  const operations = useQuery(operationsQuery(project));
  const [kind, setKind] = useState(0);
  const shown = operations.data?.filter(kinds[kind].has);
  return (
    <>
      <PageHead title="Operations" hint="What was done in this project, newest first.">
        <Select aria-label="Which" className="w-40!" value={kind} onChange={(event) => setKind(Number(event.target.value))}>
          {kinds.map((one, i) => (
            <option key={one.name} value={i}>
              {one.name}
            </option>
          ))}
        </Select>
      </PageHead>
      <PageBody>
        {operations.error && <Problem error={operations.error} retry={() => void operations.refetch()} />}
        <Card className="overflow-hidden">
          {!shown ? (
            <Skeleton className="m-5 h-40" />
          ) : shown.length === 0 ? (
            <Empty icon={<ScrollText aria-hidden />} title={kind === 0 ? "Nothing yet" : "None of this kind"} />
          ) : (
            <table className="w-full text-sm">
              <thead className="sr-only">
                <tr>
                  <th>Operation</th>
                  <th className="max-sm:hidden">Branch</th>
                  <th>Status</th>
                  <th className="max-sm:hidden">Took</th>
                  <th>When</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((operation) => (
                  <OperationRow key={operation.id} operation={operation} branches={branches} />
                ))}
              </tbody>
            </table>
          )}
        </Card>
      </PageBody>
    </>
  );
}
