// What forms of settings end with.
import type { ReactNode } from "react";
import { Button, Problem } from "@/ui/basics";

export function Save({ busy, disabled, error, children }: { busy: boolean; disabled: boolean; error: unknown; children?: ReactNode }) {
  return (
    <>
      {error !== null && <Problem error={error} />}
      <div className="flex items-center justify-end gap-3">
        {children}
        <Button type="submit" look="solid" size="sm" busy={busy} disabled={disabled}>
          Save
        </Button>
      </div>
    </>
  );
}
