// Cmd/Ctrl-K. The list itself is loaded when it is first opened.
import { lazy, Suspense, useEffect, useState } from "react";
import { setPalette, usePaletteOpen } from "./palette-state";

const PaletteDialog = lazy(() => import("./palette-dialog"));

export function Palette() {
  const open = usePaletteOpen();
  const [wanted, setWanted] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.metaKey || event.ctrlKey) || event.shiftKey || event.altKey) return;
      event.preventDefault();
      setPalette(true);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  if (open && !wanted) setWanted(true);
  if (!wanted) return null;
  return (
    <Suspense>
      <PaletteDialog open={open} onOpenChange={setPalette} />
    </Suspense>
  );
}
