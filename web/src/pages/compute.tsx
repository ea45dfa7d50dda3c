// A compute: what it does now, why, and what one can do about it.
import { Moon, MoreHorizontal, Power, RotateCw, Timer, Trash2, Zap } from "lucide-react";
import { useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { finished, useChange } from "@/api/queries";
import type { ComputeOverview, ComputeState, Endpoint, Operation } from "@/api/types";
import { Button, Field, Problem, Select } from "@/ui/basics";
import { ago, seconds } from "@/ui/format";
import { Confirm, Dialog, DialogActions, Menu, MenuItem, MenuLine } from "@/ui/overlays";
import { timeouts } from "./projects";

export function WhatKeepsAwake({ compute, state, timeout }: { compute: ComputeOverview | undefined; state: ComputeState; timeout: number }) {
  if (compute?.problem) return <Problem error={new Error(compute.problem)} />;
  let text: string;
  if (state === "active")
    text = compute?.keeps_awake
      ? `Kept awake by: ${compute.keeps_awake}`
      : timeout === -1
        ? "Stays awake: it is set to never suspend."
        : `Nothing is under way. After ${seconds(timeout === 0 ? 300 : timeout)} of that it suspends; connections stay open.`;
  else if (state === "starting") text = "Waking: queries wait for it, and then go on.";
  else if (state === "suspending") text = "Suspending: connections stay, and the next query wakes it.";
  else text = `Asleep${compute?.suspended_at ? ` since ${ago(compute.suspended_at)}` : ""}. The next query wakes it; connections stay open meanwhile.`;
  return (
    <p className="flex items-center gap-2 text-[13px] text-muted">
      {state === "idle" ? <Moon className="size-4 shrink-0" aria-hidden /> : <Zap className="size-4 shrink-0 text-accent" aria-hidden />}
      {text}
    </p>
  );
}

interface ActionProps {
  project: string;
  endpoint: Endpoint;
  state: ComputeState;
}

export function ComputeActions({ project, endpoint, state }: ActionProps) {
  const [asking, setAsking] = useState<"suspend" | "restart" | null>(null);
  const [deleting, setDeleting] = useState(false);
  const [editing, setEditing] = useState(false);
  const act = useChange(async (what: "start" | "suspend" | "restart") => {
    const answer = await http.post<{ operations: Operation[] }>(path`/projects/${project}/endpoints/${endpoint.id}` + `/${what}`);
    await finished(project, answer.operations);
  });
  const remove = useChange(async () => {
    const answer = await http.delete<{ operations?: Operation[] }>(path`/projects/${project}/endpoints/${endpoint.id}`);
    await finished(project, answer.operations);
  });
  const failed = (error: Error) => toast.error(error.message);
  return (
    <>
      {state === "idle" ? (
        <Button size="sm" busy={act.isPending} icon={<Power className="size-3.5" aria-hidden />} onClick={() => act.mutate("start", { onError: failed })}>
          Wake
        </Button>
      ) : (
        <Button
          size="sm"
          busy={act.isPending}
          disabled={state !== "active"}
          icon={<Moon className="size-3.5" aria-hidden />}
          onClick={() => setAsking("suspend")}
        >
          Suspend
        </Button>
      )}
      <Menu label="More about the compute" icon={<MoreHorizontal aria-hidden />}>
        <MenuItem icon={<RotateCw aria-hidden />} disabled={state !== "active"} onSelect={() => setAsking("restart")}>
          Restart
        </MenuItem>
        <MenuLine />
        <MenuItem icon={<Timer aria-hidden />} onSelect={() => setEditing(true)}>
          Suspend timeout
        </MenuItem>
        <MenuLine />
        <MenuItem icon={<Trash2 aria-hidden />} danger onSelect={() => setDeleting(true)}>
          Delete
        </MenuItem>
      </Menu>
      <Confirm
        open={asking !== null}
        onOpenChange={() => setAsking(null)}
        title={asking === "restart" ? "Restart the compute" : "Suspend the compute"}
        action={asking === "restart" ? "Restart" : "Suspend"}
        gentle
        onConfirm={() => act.mutateAsync(asking!)}
      >
        <p>Open connections stay open. What is under way in them is cut off: running statements end with an error, open transactions are rolled back. The next query goes on as if nothing had been.</p>
      </Confirm>
      <Confirm
        open={deleting}
        onOpenChange={setDeleting}
        title={endpoint.type === "read_only" ? "Delete the read replica" : "Delete the compute"}
        action={endpoint.type === "read_only" ? "Delete replica" : "Delete compute"}
        typed={endpoint.type === "read_only" ? undefined : endpoint.id}
        onConfirm={() => remove.mutateAsync(undefined)}
      >
        <p>
          Its connection strings are refused from then on, and whoever is connected by them is disconnected. The branch and its data stay; another
          compute of it has another host name.
        </p>
      </Confirm>
      <TimeoutDialog open={editing} onOpenChange={setEditing} project={project} endpoint={endpoint} />
    </>
  );
}

function TimeoutDialog({ open, onOpenChange, project, endpoint }: { open: boolean; onOpenChange: (open: boolean) => void; project: string; endpoint: Endpoint }) {
  const [value, setValue] = useState(endpoint.suspend_timeout_seconds);
  const save = useChange(
    () => http.patch(path`/projects/${project}/endpoints/${endpoint.id}`, { endpoint: { suspend_timeout_seconds: value } }),
    () => onOpenChange(false),
  );
  const listed = timeouts.some((one) => one.value === value) ? timeouts : [{ value, name: `${value} seconds` }, ...timeouts];
  return (
    <Dialog open={open} onOpenChange={onOpenChange} title="Suspend timeout" description="How long nothing must be under way before the compute is suspended. Idle connections do not count.">
      <Field label="Suspend after">
        {(props) => (
          <Select {...props} value={value} onChange={(event) => setValue(Number(event.target.value))}>
            {listed.map((one) => (
              <option key={one.value} value={one.value}>
                {one.name}
              </option>
            ))}
          </Select>
        )}
      </Field>
      {save.error && <Problem error={save.error} className="mt-4" />}
      <DialogActions>
        <Button onClick={() => onOpenChange(false)}>Cancel</Button>
        <Button look="solid" busy={save.isPending} onClick={() => save.mutate(undefined)}>
          Save
        </Button>
      </DialogActions>
    </Dialog>
  );
}
