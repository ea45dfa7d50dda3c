// Snapshots: moments of branches that are kept until they are deleted, and when new ones are taken.
import { useQuery } from "@tanstack/react-query";
import { Camera, MoreHorizontal, Pencil, RotateCcw, Trash2 } from "lucide-react";
import { useState } from "react";
import { snapshotsQuery } from "@/api/queries";
import type { Branch, Snapshot } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { useCreating } from "@/shell/use-creating";
import { Badge, Button, Card, Empty, Problem, Skeleton, Tip } from "@/ui/basics";
import { ago, moment, until } from "@/ui/format";
import { Menu, MenuItem, MenuLine } from "@/ui/overlays";
import { DeleteSnapshot, RenameSnapshot, TakeSnapshot } from "./snapshot-dialogs";
import { RestoreSnapshot } from "./snapshot-restore";
import { ScheduleCard } from "./snapshot-schedule";

type Doing = { what: "restore" | "rename" | "delete"; snapshot: Snapshot };

export function SnapshotsPage() {
  const { project, branches, branch } = useCurrent();
  const snapshots = useQuery(snapshotsQuery(project));
  const [taking, setTaking] = useCreating("snapshot");
  const [doing, setDoing] = useState<Doing | null>(null);
  const done = () => setDoing(null);
  const take = (
    <Button look="solid" icon={<Camera className="size-4" aria-hidden />} disabled={!branch} onClick={() => setTaking(true)}>
      Take snapshot
    </Button>
  );
  return (
    <>
      <PageHead
        title="Snapshots"
        hint="A moment of a branch that is kept for as long as you like: past the history window, and past the branch itself. Nothing is copied."
      >
        {take}
      </PageHead>
      <PageBody>
        {snapshots.error && <Problem error={snapshots.error} retry={() => void snapshots.refetch()} />}
        <Card>
          {!snapshots.data ? (
            !snapshots.error && <Skeleton className="m-5 h-24" />
          ) : snapshots.data.length === 0 ? (
            <Empty icon={<Camera aria-hidden />} title="No snapshots yet">
              Take one before a migration, or let a schedule take them: both can be restored as a new branch or in a branch's place.
            </Empty>
          ) : (
            <SnapshotTable snapshots={snapshots.data} branches={branches} onDo={setDoing} />
          )}
        </Card>
        {branch && <ScheduleCard key={branch.id} project={project} branch={branch} />}
      </PageBody>
      {taking && branches && branch && <TakeSnapshot project={project} branches={branches} branch={branch} onClose={() => setTaking(false)} />}
      {doing?.what === "restore" && branches && <RestoreSnapshot project={project} branches={branches} snapshot={doing.snapshot} onClose={done} />}
      {doing?.what === "rename" && <RenameSnapshot project={project} snapshot={doing.snapshot} onClose={done} />}
      <DeleteSnapshot project={project} snapshot={doing?.what === "delete" ? doing.snapshot : null} onClose={done} />
    </>
  );
}

interface TableProps {
  snapshots: Snapshot[];
  branches: Branch[] | undefined;
  onDo: (doing: Doing) => void;
}

function SnapshotTable({ snapshots, branches, onDo }: TableProps) {
  const newestFirst = [...snapshots].sort((a, b) => b.created_at.localeCompare(a.created_at));
  return (
    <table className="w-full text-left text-sm">
      <thead>
        <tr className="border-b text-xs text-muted [&>th]:px-4 [&>th]:py-2.5 [&>th]:font-medium sm:[&>th]:px-5">
          <th>Name</th>
          <th className="max-sm:hidden">Branch</th>
          <th className="max-md:hidden">Its moment</th>
          <th className="max-md:hidden">Kept</th>
          <th>
            <span className="sr-only">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {newestFirst.map((snapshot) => (
          <tr
            key={snapshot.id}
            data-snapshot={snapshot.name}
            className="border-b last:border-0 hover:bg-sunken [&>td]:px-4 [&>td]:py-2.5 sm:[&>td]:px-5"
          >
            <td className="max-w-0 w-2/5">
              <p className="flex items-center gap-2">
                <span className="truncate font-medium">{snapshot.name}</span>
                {!snapshot.manual && <Badge>scheduled</Badge>}
              </p>
              <p className="truncate text-xs text-muted">taken {ago(snapshot.created_at)}</p>
            </td>
            <td className="text-muted max-sm:hidden">
              {branches?.find((one) => one.id === snapshot.source_branch_id)?.name ?? "a deleted branch"}
            </td>
            <td className="text-muted max-md:hidden">
              <Tip text={`LSN ${snapshot.lsn}`}>
                <span className="tabular whitespace-nowrap">{moment(snapshot.timestamp ?? snapshot.created_at)}</span>
              </Tip>
            </td>
            <td className="text-muted max-md:hidden">
              {snapshot.expires_at ? (
                <Tip text={`Deleted ${moment(snapshot.expires_at)}`}>
                  <span className="whitespace-nowrap">for {until(snapshot.expires_at)}</span>
                </Tip>
              ) : (
                "until deleted"
              )}
            </td>
            <td className="w-24 text-right">
              <div className="flex items-center justify-end gap-1">
                <Button size="sm" look="quiet" className="max-sm:hidden" onClick={() => onDo({ what: "restore", snapshot })}>
                  Restore
                </Button>
                <Menu label={`Actions on ${snapshot.name}`} icon={<MoreHorizontal aria-hidden />}>
                  <MenuItem icon={<RotateCcw aria-hidden />} onSelect={() => onDo({ what: "restore", snapshot })}>
                    Restore
                  </MenuItem>
                  <MenuItem icon={<Pencil aria-hidden />} onSelect={() => onDo({ what: "rename", snapshot })}>
                    Rename
                  </MenuItem>
                  <MenuLine />
                  <MenuItem icon={<Trash2 aria-hidden />} danger onSelect={() => onDo({ what: "delete", snapshot })}>
                    Delete
                  </MenuItem>
                </Menu>
              </div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
