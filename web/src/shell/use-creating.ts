// Whether a page's dialog for something new is open. An address may open it, so that the palette can.
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";

export type Creatable = "project" | "branch" | "snapshot" | "replica" | "role" | "database" | "key";

export function useCreating(what: Creatable): [boolean, (open: boolean) => void] {
  const { create } = useSearch({ strict: false });
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const wanted = create === what;
  useEffect(() => {
    if (!wanted) return;
    setOpen(true);
    // Not again at a reload, nor on the way back.
    void navigate({ to: ".", search: (before: object) => ({ ...before, create: undefined }), replace: true });
  }, [wanted, navigate]);
  return [open, setOpen];
}
